//! A parquet file that grows by row groups, and columns read back from one.

use super::DatasetError;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Rows read at a time: bounds memory, whatever the row groups are.
const BATCH_ROWS: usize = 256;

/// A parquet file being written.
pub(super) struct ParquetFile {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl ParquetFile {
    /// Begins a file, snappy and dictionary as LeRobot's; the column `raw` of already compressed bytes stays as it is.
    pub fn create(path: PathBuf, schema: SchemaRef, raw: Option<ColumnPath>) -> Result<Self, DatasetError> {
        // Readers look for these entries in the file itself, not in the arrow schema inside it.
        let entries = schema.metadata().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(None)
            .set_write_batch_size(BATCH_ROWS)
            .set_key_value_metadata(Some(entries));
        if let Some(raw) = raw {
            properties = properties
                .set_column_compression(raw.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(raw.clone(), false)
                .set_column_statistics_enabled(raw, EnabledStatistics::None);
        }
        let file = File::create_new(&path).map_err(|error| DatasetError::io("create", &path, 0, error))?;
        match ArrowWriter::try_new(file, schema, Some(properties.build())) {
            Ok(writer) => Ok(Self { path, writer }),
            Err(error) => Err(DatasetError::parquet(&path, 0, error)),
        }
    }

    /// Writes the rows as one row group.
    pub fn append(&mut self, rows: &RecordBatch) -> Result<(), DatasetError> {
        let bytes = rows.get_array_memory_size() as u64;
        let written = self.writer.write(rows).and_then(|()| self.writer.flush());
        written.map_err(|error| DatasetError::parquet(&self.path, bytes, error))
    }

    /// Bytes in the file so far.
    pub fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Ends the file and brings it to the disk; tells its bytes.
    pub fn close(self) -> Result<u64, DatasetError> {
        let file = self.writer.into_inner().map_err(|error| DatasetError::parquet(&self.path, 0, error))?;
        let synced = file.sync_all().and_then(|()| file.metadata());
        synced.map(|meta| meta.len()).map_err(|error| DatasetError::io("write", &self.path, 0, error))
    }
}

/// A parquet file of which only the footer was read yet.
#[derive(Debug, Clone)]
pub(super) struct ParquetSource {
    pub path: PathBuf,
    metadata: ArrowReaderMetadata,
}

impl ParquetSource {
    /// Reads the footer.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let file = File::open(path).map_err(|error| DatasetError::io("open", path, 0, error))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| DatasetError::parquet(path, 0, error))?;
        Ok(Self { path: path.to_path_buf(), metadata })
    }

    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// An entry of the file's own metadata.
    pub fn entry(&self, key: &str) -> Option<&str> {
        let entries = self.metadata.metadata().file_metadata().key_value_metadata()?;
        entries.iter().find(|entry| entry.key == key)?.value.as_deref()
    }

    /// Rows of each row group.
    pub fn group_rows(&self) -> Vec<usize> {
        let rows = |group: &parquet::file::metadata::RowGroupMetaData| usize::try_from(group.num_rows()).unwrap_or(0);
        self.metadata.metadata().row_groups().iter().map(rows).collect()
    }

    /// Rows of the whole file.
    pub fn rows(&self) -> usize {
        self.group_rows().into_iter().fold(0, usize::saturating_add)
    }

    /// Reads `columns` (top-level names, given in any order, found in file order) of one row group or of all.
    pub fn read(&self, columns: &[&str], group: Option<usize>) -> Result<Batches<'_>, DatasetError> {
        if let Some(missing) = columns.iter().find(|name| self.schema().column_with_name(name).is_none()) {
            return Err(DatasetError::malformed(&self.path, format!("column {missing:?} is missing")));
        }
        let roots = columns.iter().filter_map(|name| self.schema().index_of(name).ok());
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let file = File::open(&self.path).map_err(|error| DatasetError::io("open", &self.path, 0, error))?;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS);
        if let Some(group) = group {
            builder = builder.with_row_groups(vec![group]);
        }
        let reader = builder.build().map_err(|error| DatasetError::parquet(&self.path, 0, error))?;
        Ok(Batches { path: &self.path, reader })
    }
}

/// Batches of at most [`BATCH_ROWS`] rows.
pub(super) struct Batches<'a> {
    path: &'a Path,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|error| DatasetError::parquet(self.path, 0, error.into())))
    }
}

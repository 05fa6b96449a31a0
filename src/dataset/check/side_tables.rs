//! What lies beside LeRobot's files under `ralphton/`.

use super::Examination;
use super::episodes::Bounds;
use crate::dataset::identity::{Provenance, config_hash};
use crate::dataset::reader::read_json;
use crate::dataset::side_table::SideTable;
use crate::dataset::summary::origins;
use crate::dataset::{DatasetError, layout};

impl Examination<'_> {
    pub(super) fn side_tables(&mut self, bounds: &[Bounds]) -> Result<(), DatasetError> {
        let table = self.path(layout::SIDE);
        let mut labelled = vec![0_usize; bounds.len()];
        let mut bad = Vec::new();
        let mut at = 0;
        let rows = SideTable::open(self.dir)?.each(&mut |frame| {
            while bounds.get(at).is_some_and(|bounds| bounds.to <= frame.index as i64) {
                at += 1;
            }
            if let (Some(count), Some(_)) = (labelled.get_mut(at), &frame.label) {
                *count += 1;
            }
            let numbers = frame.label.unwrap_or_default().iter().chain(frame.privileged);
            for value in numbers.filter(|value| !value.is_finite()).take(1) {
                bad.push(format!("frame {}: its label or privileged state holds {value}", frame.index));
            }
            if frame.actor.is_none() {
                bad.push(format!("frame {}: nobody is known to have acted", frame.index));
            }
        })?;
        bad.into_iter().for_each(|problem| self.note(&table, problem));
        if rows != self.info.total_frames {
            self.note(&table, format!("{rows} rows where the dataset has {} frames", self.info.total_frames));
        }
        let path = self.path(layout::ORIGINS);
        let origins = origins(self.dir)?;
        if origins.len() != bounds.len() {
            self.note(&path, format!("{} episodes where the dataset has {}", origins.len(), bounds.len()));
            return Ok(());
        }
        for (episode, (row, (bounds, labelled))) in origins.iter().zip(bounds.iter().zip(labelled)).enumerate() {
            let frames = bounds.to.saturating_sub(bounds.from);
            if (row.frames as i64, row.labelled_frames) != (frames, labelled) {
                let problem = format!(
                    "episode {episode}: {} frames, {} labelled; the other tables have {frames} and {labelled}",
                    row.frames, row.labelled_frames,
                );
                self.note(&path, problem);
            }
        }
        Ok(())
    }

    pub(super) fn provenance(&mut self) -> Result<(), DatasetError> {
        let path = self.path(layout::PROVENANCE);
        let provenance: Provenance = read_json(&path)?;
        if provenance.config_hash != config_hash(&provenance.made_from) {
            self.note(&path, "config_hash is not the hash of made_from");
        }
        Ok(())
    }
}

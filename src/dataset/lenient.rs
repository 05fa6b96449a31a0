//! Arrow columns as other writers leave them, read as ours: LeRobot's own reader takes all of these, so this one does.
//!
//! Lists may be of fixed or free length, numbers single or double, indices of any whole type, images a struct or the
//! bare bytes. Where the form is ours already, nothing is copied.

use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, FixedSizeListArray, GenericListArray, LargeBinaryArray, OffsetSizeTrait,
    PrimitiveArray, StructArray,
};
use std::borrow::Cow;

/// The numbers of a column of vectors, one after another; nothing when a row has another length or lacks numbers.
pub(super) fn numbers(array: &dyn Array, len: usize) -> Option<Cow<'_, [f32]>> {
    let any = array.as_any();
    if array.null_count() > 0 {
        return None;
    }
    if let Some(list) = any.downcast_ref::<FixedSizeListArray>() {
        return (usize::try_from(list.value_length()) == Ok(len)).then(|| floats(list.values().as_ref(), None))?;
    }
    if let Some(list) = any.downcast_ref::<GenericListArray<i32>>() {
        return of_list(list, len);
    }
    if let Some(list) = any.downcast_ref::<GenericListArray<i64>>() {
        return of_list(list, len);
    }
    if len == 1 { floats(array, None) } else { None }
}

fn of_list<O: OffsetSizeTrait>(list: &GenericListArray<O>, len: usize) -> Option<Cow<'_, [f32]>> {
    let offsets = list.value_offsets();
    let equal = offsets.windows(2).all(|pair| pair[1].as_usize().checked_sub(pair[0].as_usize()) == Some(len));
    let (first, last) = (offsets.first()?.as_usize(), offsets.last()?.as_usize());
    if equal { floats(list.values().as_ref(), Some((first, last))) } else { None }
}

fn floats(values: &dyn Array, part: Option<(usize, usize)>) -> Option<Cow<'_, [f32]>> {
    if values.null_count() > 0 {
        return None;
    }
    let (first, last) = part.unwrap_or((0, values.len()));
    if let Some(single) = primitive::<Float32Type>(values) {
        return single.get(first..last).map(Cow::Borrowed);
    }
    let double = primitive::<Float64Type>(values)?;
    Some(Cow::Owned(double.get(first..last)?.iter().map(|&value| value as f32).collect()))
}

/// All numbers in a column of lists, or lists of lists, of floats or whole numbers; nothing when one is absent.
pub(super) fn numbers_of_lists(array: &dyn Array) -> Option<Vec<f64>> {
    let any = array.as_any();
    if array.null_count() > 0 {
        return None;
    }
    if let Some(list) = any.downcast_ref::<GenericListArray<i32>>() {
        return numbers_of_lists(list.values().as_ref());
    }
    if let Some(list) = any.downcast_ref::<GenericListArray<i64>>() {
        return numbers_of_lists(list.values().as_ref());
    }
    if let Some(list) = any.downcast_ref::<FixedSizeListArray>() {
        return numbers_of_lists(list.values().as_ref());
    }
    if let Some(values) = primitive::<Float64Type>(array) {
        return Some(values.to_vec());
    }
    let single = primitive::<Float32Type>(array).map(|values| values.iter().map(|&value| f64::from(value)).collect());
    single.or_else(|| integers(array).map(|values| values.iter().map(|&value| value as f64).collect()))
}

/// The whole numbers of a column; nothing when one is absent or does not fit.
pub(super) fn integers(array: &dyn Array) -> Option<Cow<'_, [i64]>> {
    if array.null_count() > 0 {
        return None;
    }
    if let Some(values) = primitive::<Int64Type>(array) {
        return Some(Cow::Borrowed(values));
    }
    widened::<Int32Type>(array)
        .or_else(|| widened::<UInt64Type>(array))
        .or_else(|| widened::<UInt32Type>(array))
        .or_else(|| widened::<Int16Type>(array))
        .or_else(|| widened::<UInt16Type>(array))
        .or_else(|| widened::<Int8Type>(array))
        .or_else(|| widened::<UInt8Type>(array))
        .map(Cow::Owned)
}

fn widened<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<Vec<i64>>
where
    i64: TryFrom<T::Native>,
{
    primitive::<T>(array)?.iter().map(|&value| i64::try_from(value).ok()).collect()
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&[T::Native]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|array| array.values().as_ref())
}

/// The files in a column of images.
#[derive(Debug, Clone, Copy)]
pub(super) enum ImageBytes<'a> {
    /// Offsets of 32 bits, as LeRobot writes.
    Small(&'a BinaryArray),
    /// Offsets of 64 bits.
    Large(&'a LargeBinaryArray),
}

impl<'a> ImageBytes<'a> {
    /// The images of a column `struct<bytes, path>`, `struct<bytes>` or plain bytes; nothing when one is absent, as
    /// where the column only names files.
    pub fn of(column: &'a dyn Array) -> Option<Self> {
        let any = column.as_any();
        if column.null_count() > 0 {
            return None;
        }
        if let Some(images) = any.downcast_ref::<StructArray>() {
            return images.column_by_name("bytes").and_then(|bytes| Self::of(bytes.as_ref()));
        }
        let small = any.downcast_ref::<BinaryArray>().map(Self::Small);
        small.or_else(|| any.downcast_ref::<LargeBinaryArray>().map(Self::Large))
    }

    /// The file in `row`.
    pub fn file(self, row: usize) -> &'a [u8] {
        match self {
            Self::Small(bytes) => bytes.value(row),
            Self::Large(bytes) => bytes.value(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::types::Float64Type;
    use arrow_array::{Float32Array, Int32Array, Int64Array, LargeListArray, ListArray, UInt64Array};

    #[test]
    fn vectors_are_read_from_every_kind_of_list() {
        let rows = || [Some(vec![Some(1.0), Some(2.0)]), Some(vec![Some(3.0), Some(4.0)])];
        let expected: &[f32] = &[1.0, 2.0, 3.0, 4.0];
        let large = LargeListArray::from_iter_primitive::<Float64Type, _, _>(rows());
        let sized = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(rows(), 2);
        let small = ListArray::from_iter_primitive::<Float64Type, _, _>(rows());
        assert_eq!(numbers(&large, 2).unwrap(), expected);
        assert_eq!(numbers(&sized, 2).unwrap(), expected);
        assert_eq!(numbers(&small, 2).unwrap(), expected);
        assert_eq!(*numbers(&small.slice(1, 1), 2).unwrap(), expected[2..]);
        assert!(numbers(&small, 3).is_none());
        assert_eq!(numbers(&Float32Array::from(vec![5.0]), 1).unwrap(), [5.0_f32].as_slice());
        let gap = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![None, Some(2.0)])]);
        assert!(numbers(&gap, 2).is_none());
    }

    #[test]
    fn indices_are_read_from_every_whole_type() {
        assert_eq!(integers(&Int32Array::from(vec![1, 2])).unwrap(), [1_i64, 2].as_slice());
        assert_eq!(integers(&UInt64Array::from(vec![7])).unwrap(), [7_i64].as_slice());
        assert!(integers(&UInt64Array::from(vec![u64::MAX])).is_none());
        assert!(integers(&Int64Array::from(vec![None, Some(1)])).is_none());
        assert!(integers(&Float32Array::from(vec![1.0])).is_none());
    }

    #[test]
    fn images_are_read_bare_or_in_a_struct() {
        let bare = LargeBinaryArray::from(vec![b"one".as_slice(), b"two"]);
        assert_eq!(ImageBytes::of(&bare).unwrap().file(1), b"two");
        assert!(ImageBytes::of(&BinaryArray::from(vec![Some(b"one".as_slice()), None])).is_none());
        assert!(ImageBytes::of(&Int64Array::from(vec![1])).is_none());
    }
}

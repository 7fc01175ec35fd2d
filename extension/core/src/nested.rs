//! Values made of values, for [`crate::encoding`]: enums, arrays, ranges, multiranges, composites. The published layout is
//! docs/formats.md. Element values are bytes in the encoding of their own type, which the caller has made.

use crate::encoding::{Tag, column_head};

/// What stands for the length of an element that is NULL.
const NULL_ELEMENT: u32 = u32::MAX;

/// Flags of a range, those of PostgreSQL's wire format.
const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound<'value> {
    /// No end.
    Infinite,
    /// The value belongs to the range.
    Inclusive(&'value [u8]),
    /// The value does not belong to the range.
    Exclusive(&'value [u8]),
}

impl<'value> Bound<'value> {
    fn value(self) -> Option<&'value [u8]> {
        match self {
            Self::Infinite => None,
            Self::Inclusive(value) | Self::Exclusive(value) => Some(value),
        }
    }

    fn flags(self, inclusive: u8, infinite: u8) -> u8 {
        match self {
            Self::Infinite => infinite,
            Self::Inclusive(_) => inclusive,
            Self::Exclusive(_) => 0,
        }
    }
}

/// An enum: the id its label was given by us, which a rename does not change.
pub fn enumerated(label_id: u32) -> [u8; 4] {
    label_id.to_be_bytes()
}

/// An array's beginning; its elements follow by [`element`], in the order of storage. `dimensions`: length and lower
/// bound of each, none for an empty array.
pub fn array(out: &mut Vec<u8>, element_tag: Tag, dimensions: &[(u32, i32)]) {
    // (PostgreSQL has six at most)
    out.push(u8::try_from(dimensions.len()).unwrap_or(u8::MAX));
    for (length, lower) in dimensions {
        out.extend(length.to_be_bytes());
        out.extend(lower.to_be_bytes());
    }
    out.push(element_tag as u8);
}

/// One element of an array. `None` is NULL.
pub fn element(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.extend(NULL_ELEMENT.to_be_bytes()),
        Some(value) => sized(out, value),
    }
}

/// A range of elements with this tag. A range that is empty has no bounds.
pub fn range(out: &mut Vec<u8>, element_tag: Tag, bounds: Option<(Bound<'_>, Bound<'_>)>) {
    let Some((lower, upper)) = bounds else {
        out.extend([EMPTY, element_tag as u8]);
        return;
    };
    let flags = lower.flags(LOWER_INCLUSIVE, LOWER_INFINITE) | upper.flags(UPPER_INCLUSIVE, UPPER_INFINITE);
    out.extend([flags, element_tag as u8]);
    for value in [lower.value(), upper.value()].into_iter().flatten() {
        sized(out, value);
    }
}

/// A multirange's beginning; its ranges follow, each by [`element`].
pub fn multirange(out: &mut Vec<u8>, ranges: u32) {
    out.extend(ranges.to_be_bytes());
}

/// One attribute of a composite that is not NULL, by an id of our own; ids ascend.
pub fn attribute(out: &mut Vec<u8>, id: u32, tag: Tag, value: &[u8]) {
    out.extend(column_head(id, tag, value));
    out.extend(value);
}

fn sized(out: &mut Vec<u8>, value: &[u8]) {
    // (a value in PostgreSQL has less than 1 GiB)
    out.extend(u32::try_from(value.len()).unwrap_or(NULL_ELEMENT - 1).to_be_bytes());
    out.extend(value);
}

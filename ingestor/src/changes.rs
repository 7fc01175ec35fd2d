//! Changes of one batch that concern one key: the last one counts, with what it leaves out taken from the one before.
//! Pure. Never: I/O, JSON.

use crate::batch::{Batch, Place};
use crate::decode::plan::Column;
use crate::decode::row::kept_array;
use bytes::BytesMut;
use std::collections::HashMap;
use strata_core::encoding::Tag;

/// The changes to apply, in the order they came, and for each that has one the change before it of the same key.
#[derive(Debug, Default)]
pub struct LastByKey {
    /// One a key.
    pub places: Vec<Place>,
    /// The change that counts if this one cannot.
    pub before: HashMap<Place, Place>,
}

/// Finds the last change of every key.
pub fn last_by_key(batch: &mut Batch, columns: &[Column], key: &[usize]) -> LastByKey {
    let mut last: HashMap<Vec<u8>, Place> = HashMap::new();
    let mut found = LastByKey::default();
    for chunk in 0..batch.chunks.len() {
        for row in 0..batch.chunks[chunk].rows.len() {
            let place = (u32::try_from(chunk).unwrap_or(u32::MAX), u32::try_from(row).unwrap_or(u32::MAX));
            let identity = identity(&fields(batch, place), columns, key);
            if let Some(before) = last.insert(identity, place) {
                complete(batch, place, before);
                found.before.insert(place, before);
            }
        }
    }
    found.places = last.into_values().collect();
    found.places.sort_unstable();
    found
}

/// The fields of a row, `None` for NULL.
fn fields(batch: &Batch, place: Place) -> Vec<Option<&[u8]>> {
    let row = batch.row(place);
    let bytes = &batch.chunks[place.0 as usize].bytes;
    split(bytes.get(row.start as usize..row.end as usize).unwrap_or_default())
}

/// The fields of a row in COPY's format.
pub fn split(row: &[u8]) -> Vec<Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    let mut fields = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*head)).ok();
        let (value, after) = after.split_at_checked(length.unwrap_or(0)).unwrap_or_default();
        fields.push(length.map(|_| value));
        rest = after;
    }
    fields
}

/// What is equal for keys that PostgreSQL holds for equal.
fn identity(fields: &[Option<&[u8]>], columns: &[Column], key: &[usize]) -> Vec<u8> {
    let mut identity = Vec::new();
    for at in key {
        let value = fields.get(*at).copied().flatten().unwrap_or_default();
        let value = match columns[*at].tag {
            // 1.0 and 1.00 differ in how many digits are shown alone.
            Tag::Numeric => {
                &[value.get(..6).unwrap_or_default(), value.get(8..).unwrap_or_default()].concat()
            }
            Tag::Bpchar => strata_core::encoding::strip_padding(value),
            _ => value,
        };
        identity.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        identity.extend(value);
    }
    identity
}

/// Fills what a change leaves out from the change before it.
fn complete(batch: &mut Batch, place: Place, before: Place) {
    let (new, old) = (fields(batch, place), fields(batch, before));
    let Some(kept) = numbers(new.len().checked_sub(2).and_then(|at| new[at])) else { return };
    let was_deleted = old.last().copied().flatten() == Some(&[1]);
    let still = numbers(old.len().checked_sub(2).and_then(|at| old[at])).unwrap_or_default();
    let mut row = new_row(new.len());
    let mut left = Vec::new();
    for (number, value) in (1_i16..).zip(&new[..new.len() - 2]) {
        let take = kept.contains(&number);
        // What was deleted has nothing that could be kept.
        if take && !was_deleted && still.contains(&number) {
            left.push(number);
        }
        let taken = if was_deleted {
            None
        } else {
            old.get(usize::try_from(number - 1).unwrap_or_default()).copied().flatten()
        };
        field(&mut row, if take { taken } else { *value });
    }
    field(&mut row, kept_array(&left).as_deref());
    field(&mut row, new.last().copied().flatten());
    let chunk = &mut batch.chunks[place.0 as usize];
    let mut bytes = BytesMut::from(std::mem::take(&mut chunk.bytes));
    let start = bytes.len();
    bytes.extend_from_slice(&row);
    let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    chunk.bytes = bytes.freeze();
    let row = &mut chunk.rows[place.1 as usize];
    (row.start, row.end) = (u32::try_from(start).unwrap_or(u32::MAX), end);
}

fn new_row(fields: usize) -> Vec<u8> {
    i16::try_from(fields).unwrap_or(i16::MAX).to_be_bytes().to_vec()
}

fn field(row: &mut Vec<u8>, value: Option<&[u8]>) {
    let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
    row.extend(length.to_be_bytes());
    row.extend(value.unwrap_or_default());
}

/// The elements of a `smallint[]`; `None` for NULL.
pub fn numbers(array: Option<&[u8]>) -> Option<Vec<i16>> {
    let elements = array?.get(20..).unwrap_or_default().chunks_exact(6);
    Some(elements.map(|e| i16::from_be_bytes([e[4], e[5]])).collect())
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;

//! Functions of the log that need bytes: leaves of chunks, states of tables, tiles of the tree and proofs from them.

use std::collections::{HashMap, HashSet};

use pgrx::datum::Uuid;
use pgrx::pg_sys;
use pgrx::prelude::*;
use strata_core::chunk::{self, Rows, State};
use strata_core::merkle::{self, Hash};
use strata_core::proof::{self, Node};

use super::segment;
use super::spi;
use super::write::{self, CHUNK_COLUMNS, StoredChunk};
use crate::leaf::deform;

/// Hashes of a tile, as in C2SP's tlog-tiles: eight levels of the tree.
const TILE: u64 = 256;
const TILE_LEVELS: u8 = 8;

/// `strata._flush_audit() RETURNS void`: writes what this transaction has waiting.
#[pg_extern(sql = false)]
fn flush_audit() {
    // SAFETY: on the backend's main thread, inside a transaction.
    unsafe { segment::flush() };
}

/// `strata._audit_event(audit_id int, table_uuid uuid, operation text, detail text) RETURNS bigint`
#[pg_extern(sql = false)]
fn audit_event(audit_id: i32, table_uuid: Uuid, operation: &str, detail: Option<&str>) -> i64 {
    // SAFETY: on the backend's main thread, inside a transaction.
    unsafe {
        segment::flush();
        write::event(audit_id, *table_uuid.as_bytes(), operation, detail)
    }
}

/// A row of `strata._audit_chunks`, and the entries stored in it.
unsafe fn read_chunk(row: pg_sys::Datum) -> (StoredChunk, Option<Vec<u8>>, Option<Vec<u8>>) {
    unsafe {
        let (values, nulls) = deform(row);
        if values.len() != CHUNK_COLUMNS {
            error!("not a chunk of the audit log");
        }
        let hash = |place: usize, of_none: Hash| -> Hash {
            Vec::<u8>::from_datum(values[place], nulls[place])
                .map_or(Some(of_none), |bytes| Hash::try_from(bytes).ok())
                .unwrap_or([0xff; 32])
        };
        let none = Rows::of(&mut []);
        let rows = |place: usize| Rows {
            count: values[place].value() as u32,
            root: hash(place + 1, none.root),
            keys: hash(place + 2, none.keys),
        };
        let stored = StoredChunk {
            id: values[0].value() as i64,
            uuid: *values[2].cast_mut_ptr::<[u8; 16]>(),
            operation: String::from_datum(values[3], nulls[3]).unwrap_or_default(),
            schema: values[4].value() as i32,
            changed_at: values[5].value() as i64,
            xid: values[6].value() as u64,
            system_identifier: values[7].value() as i64,
            texts: std::array::from_fn(|n| String::from_datum(values[8 + n], nulls[8 + n])),
            added: rows(14),
            removed: rows(17),
        };
        (stored, Vec::from_datum(values[20], nulls[20]), Vec::from_datum(values[21], nulls[21]))
    }
}

/// `strata._chunk_leaf(chunk strata._audit_chunks) RETURNS bytea`: the leaf of the log that its columns make.
#[pg_extern(sql = false)]
fn chunk_leaf(chunk: pgrx::AnyElement) -> Vec<u8> {
    // SAFETY: a composite value of the type that SQL declares.
    unsafe { write::leaf_of(&read_chunk(chunk.datum()).0).to_vec() }
}

/// `strata._chunk_holds(chunk strata._audit_chunks) RETURNS boolean`: whether its entries are those of its roots.
#[pg_extern(sql = false)]
fn chunk_holds(chunk: pgrx::AnyElement) -> bool {
    // SAFETY: a composite value of the type that SQL declares.
    let (chunk, added, removed) = unsafe { read_chunk(chunk.datum()) };
    chunk.added.holds(&added.unwrap_or_default()) && chunk.removed.holds(&removed.unwrap_or_default())
}

fn state_of(bytes: Option<&[u8]>) -> State {
    bytes.map_or_else(State::default, |bytes| {
        State::from_bytes(bytes).unwrap_or_else(|| error!("not the state of an audited table"))
    })
}

/// `strata._audit_step(state bytea, operation text, added bytea, removed bytea) RETURNS bytea`: the state after a chunk.
#[pg_extern(sql = false)]
fn audit_step(
    state: Option<&[u8]>,
    operation: Option<&str>,
    added: Option<&[u8]>,
    removed: Option<&[u8]>,
) -> Vec<u8> {
    let mut state = state_of(state);
    let entries =
        |stored| chunk::entries(stored).unwrap_or_else(|| error!("the entries of a chunk are not whole"));
    state.apply(
        operation.unwrap_or_default(),
        entries(added.unwrap_or_default()),
        entries(removed.unwrap_or_default()),
    );
    state.to_bytes()
}

/// `strata._audit_follow(state bytea, later bytea) RETURNS bytea`: one state after the other.
#[pg_extern(sql = false)]
fn audit_follow(state: Option<&[u8]>, later: Option<&[u8]>) -> Vec<u8> {
    let mut state = state_of(state);
    if let Some(later) = later {
        state.follow(&state_of(Some(later)));
    }
    state.to_bytes()
}

/// `strata._audit_rows(state bytea) RETURNS bigint`: how many rows a state has.
#[pg_extern(sql = false)]
fn audit_rows(state: &[u8]) -> i64 {
    state_of(Some(state)).count
}

/// `strata._audit_equal(one bytea, other bytea) RETURNS boolean`: whether two states are of the same rows.
#[pg_extern(sql = false)]
fn audit_equal(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    let (one, other) = (state_of(one), state_of(other));
    one.count == other.count && one.leaves == other.leaves
}

/// Tiles as they are read, and written to.
#[derive(Default)]
pub struct Tiles(HashMap<(u8, u64), Vec<Hash>>);

impl Tiles {
    /// A leaf of the tree, if the tiles have it.
    pub fn leaf(&mut self, index: u64) -> Option<Hash> {
        self.of(0, index / TILE).get((index % TILE) as usize).copied()
    }

    /// All leaves there are in tiles that were read.
    pub fn leaves(&self) -> HashSet<Hash> {
        let leaves = self.0.iter().filter(|((level, _), _)| *level == 0);
        leaves.flat_map(|(_, hashes)| hashes.iter().copied()).collect()
    }

    /// The hashes there are of a tile.
    fn of(&mut self, level: u8, index: u64) -> &mut Vec<Hash> {
        self.0.entry((level, index)).or_insert_with(|| {
            let stored: Option<Vec<u8>> = Spi::get_one_with_args(
                "SELECT hashes FROM strata._audit_tiles WHERE level = $1 AND tile_index = $2",
                &[i32::from(level).into(), index.cast_signed().into()],
            )
            .unwrap_or_default();
            stored.unwrap_or_default().as_chunks::<32>().0.to_vec()
        })
    }

    /// A node of the tree, from the tile that has the hashes below it.
    fn node(&mut self, node: Node) -> Result<Hash, String> {
        let (tile_level, above) = (node.level / TILE_LEVELS, node.level % TILE_LEVELS);
        let first = node.index << above;
        let hashes = self.of(tile_level, first / TILE);
        let start = (first % TILE) as usize;
        hashes
            .get(start..start + (1 << above))
            .map(merkle::root)
            .ok_or_else(|| format!("tile {} of level {tile_level} is not whole", first / TILE))
    }

    /// Appends leaves behind the first `size`.
    fn append(&mut self, size: u64, leaves: &[Hash]) {
        for (leaf, index) in leaves.iter().zip(size..) {
            let (mut hash, mut index) = (*leaf, index);
            for level in 0.. {
                let tile = self.of(level, index / TILE);
                tile.truncate((index % TILE) as usize);
                tile.push(hash);
                if tile.len() as u64 != TILE {
                    break;
                }
                hash = merkle::root(tile);
                index /= TILE;
            }
        }
    }
}

fn known<T>(outcome: Result<T, String>) -> T {
    outcome.unwrap_or_else(|problem| error!("the tree of the audit log is not whole: {problem}"))
}

/// `strata._append_leaves(size bigint, leaves bytea[]) RETURNS bytea`: appends leaves to the tree; its new root.
#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value)]
fn append_leaves(size: i64, leaves: pgrx::Array<&[u8]>) -> Vec<u8> {
    let leaves: Vec<Hash> = leaves
        .iter()
        .map(|leaf| {
            leaf.and_then(|leaf| Hash::try_from(leaf).ok())
                .unwrap_or_else(|| error!("a leaf is not 32 bytes long"))
        })
        .collect();
    let size = size.cast_unsigned();
    let mut tiles = Tiles::default();
    tiles.append(size, &leaves);
    let root = known(proof::tree_root(size + leaves.len() as u64, |node| tiles.node(node)));
    for ((level, index), hashes) in tiles.0 {
        let written = Spi::run_with_args(
            "INSERT INTO strata._audit_tiles (level, tile_index, hashes) VALUES ($1, $2, $3) \
             ON CONFLICT (level, tile_index) DO UPDATE SET hashes = EXCLUDED.hashes",
            &[i32::from(level).into(), index.cast_signed().into(), hashes.as_flattened().into()],
        );
        if let Err(problem) = written {
            error!("a tile could not be written: {problem}");
        }
    }
    root.to_vec()
}

/// `strata._tree_root(size bigint) RETURNS bytea`: the root of the first `size` leaves, by the tiles; NULL if the tiles
/// do not reach so far.
#[pg_extern(sql = false)]
fn tree_root(size: i64) -> Option<Vec<u8>> {
    let mut tiles = Tiles::default();
    proof::tree_root(size.cast_unsigned(), |node| tiles.node(node)).ok().map(|root| root.to_vec())
}

/// `strata._prove_inclusion(log_index bigint, size bigint) RETURNS bytea[]`
#[pg_extern(sql = false)]
fn prove_inclusion(log_index: i64, size: i64) -> Option<Vec<Vec<u8>>> {
    let mut tiles = Tiles::default();
    let (index, size) = (log_index.cast_unsigned(), size.cast_unsigned());
    known(proof::prove_inclusion(index, size, |node| tiles.node(node))).map(to_bytes)
}

/// `strata._prove_consistency(from_size bigint, to_size bigint) RETURNS bytea[]`
#[pg_extern(sql = false)]
fn prove_consistency(from_size: i64, to_size: i64) -> Option<Vec<Vec<u8>>> {
    let mut tiles = Tiles::default();
    let (from, to) = (from_size.cast_unsigned(), to_size.cast_unsigned());
    known(proof::prove_consistency(from, to, |node| tiles.node(node))).map(to_bytes)
}

fn to_bytes(proof: Vec<Hash>) -> Vec<Vec<u8>> {
    proof.into_iter().map(|hash| hash.to_vec()).collect()
}

/// `strata._leaf_root(size bigint) RETURNS bytea`: the root that the leaves in the tiles make, whatever is above them; NULL if
/// there are fewer.
#[pg_extern(sql = false)]
fn leaf_root(size: i64) -> Option<Vec<u8>> {
    let mut tree = merkle::Tree::default();
    // SAFETY: a query of ours through SPI, on the backend's main thread.
    unsafe {
        spi::each_row(
            c"SELECT t.hashes FROM strata._audit_tiles t WHERE t.level = 0 ORDER BY t.tile_index",
            &[],
            |row| {
                for leaf in row.bytes(1).unwrap_or_default().as_chunks::<32>().0 {
                    if tree.size() < size.cast_unsigned() {
                        tree.push(leaf);
                    }
                }
            },
        );
    }
    (tree.size() == size.cast_unsigned()).then(|| tree.root().to_vec())
}

/// `strata._tree_root_of(leaves bytea[]) RETURNS bytea`: the root over leaves in their order.
#[pg_extern(sql = false)]
#[allow(clippy::needless_pass_by_value)]
fn tree_root_of(leaves: pgrx::Array<&[u8]>) -> Vec<u8> {
    let leaves: Vec<Hash> = leaves
        .iter()
        .map(|leaf| leaf.and_then(|leaf| Hash::try_from(leaf).ok()).unwrap_or([0; 32]))
        .collect();
    merkle::root(&leaves).to_vec()
}

/// `strata._entry_keys(entries bytea) RETURNS SETOF bigint`: the key hashes of entries.
#[pg_extern(sql = false)]
fn entry_keys(entries: &[u8]) -> SetOfIterator<'static, i64> {
    let keys: Vec<i64> = chunk::entries(entries)
        .unwrap_or_default()
        .iter()
        .map(|entry| chunk::key(entry).cast_signed())
        .collect();
    SetOfIterator::new(keys)
}

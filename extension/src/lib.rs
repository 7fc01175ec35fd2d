//! What runs inside a PostgreSQL backend. Every function here is declared, documented and granted in `sql/`;
//! this crate holds what runs per row or needs bytes or parse trees. Never here: SQL of the surface, threads, I/O.

// A backend extension is calls into C: the one member of the workspace where unsafe code is at home.
#![allow(unsafe_code)]
// PostgreSQL's headers give constants another sign or width than the parameters they are for, and datums are words.
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_ptr_alignment
)]

#[cfg(not(panic = "unwind"))]
compile_error!(
    "pg_strata must be built with panic = \"unwind\": PostgreSQL errors unwind through Rust frames"
);

mod audit;
mod batch;
mod bounds;
mod bucket;
mod catalog;
mod checksum;
mod definition;
mod disk;
mod errors;
mod execute;
mod extreme;
mod histogram;
mod kept;
mod leaf;
mod ledger;
mod lookup;
mod rights;
mod shape;
mod uuid_time;

use pgrx::prelude::*;

pgrx::pg_module_magic!();

/// Called by PostgreSQL when the library is loaded into a backend.
#[allow(non_snake_case)]
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    audit::register_callbacks();
    batch::register_callbacks();
    catalog::register_callbacks();
    kept::register_callbacks();
    leaf::register_callbacks();
    lookup::register_callbacks();
}

/// `strata._build() RETURNS text`
#[pg_extern(sql = false)]
fn build() -> String {
    format!("pg_strata {} ({}, {})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS)
}

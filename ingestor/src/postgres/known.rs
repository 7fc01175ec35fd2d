//! Events that are in their table already: a producer sent them twice. Asked for in the transaction that would add them.
//! Never: what becomes of them.

use super::Session;
use super::types::Micros;
use super::write::{altered, ours, quote};
use crate::batch::{Batch, Place};
use crate::changes::split;
use crate::decode::plan::{Dedupe, TablePlan};
use crate::error::{Error, Result};
use bytes::{BufMut, BytesMut};
use std::collections::HashSet;
use tokio_postgres::Statement;
use tokio_postgres::types::{IsNull, Kind as TypeKind, ToSql, Type, to_sql_checked};

/// The question, for one table and one session.
pub struct Known {
    statement: Statement,
    dedupe: Dedupe,
}

/// Values of one type, as they are sent.
#[derive(Debug)]
struct RawArray<'a>(Vec<&'a [u8]>);

impl ToSql for RawArray<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let TypeKind::Array(element) = ty.kind() else { return Err("no array".into()) };
        for word in [1, 0] {
            out.put_i32(word);
        }
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(self.0.len())?);
        out.put_i32(1);
        for value in &self.0 {
            out.put_i32(i32::try_from(value.len())?);
            out.put_slice(value);
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), TypeKind::Array(_))
    }

    to_sql_checked!();
}

impl Known {
    /// Prepares the question; `None`: the feeds do not ask it.
    pub async fn prepare(session: &Session, plan: &TablePlan) -> Result<Option<Self>> {
        let (Some(dedupe), Some(time)) = (plan.dedupe, plan.time_column()) else { return Ok(None) };
        let column = &plan.columns[dedupe.column];
        // The batch's times come as parameters of their own, so that partitions are left out before any is looked at.
        let sql = format!(
            "SELECT u.i FROM unnest($1::{}[], $2::timestamptz[]) WITH ORDINALITY AS u (id, ts, i) \
             WHERE EXISTS (SELECT FROM {} c WHERE c.{id} = u.id AND c.{ts} BETWEEN $3 AND $4 \
                           AND c.{ts} BETWEEN u.ts - $5::float8 * interval '1 ms' AND u.ts + $5::float8 * interval '1 ms')",
            column.type_name,
            plan.relation,
            id = quote(&column.name),
            ts = quote(&time.name),
        );
        let failed = |e: tokio_postgres::Error| altered(ours(session.failed(&e)));
        let statement = session.client.prepare(&sql).await.map_err(failed)?;
        Ok(Some(Self { statement, dedupe }))
    }

    /// The rows that are new, in their order.
    pub async fn new_rows(&self, session: &Session, batch: &Batch, places: Vec<Place>) -> Result<Vec<Place>> {
        let (mut asked, mut ids, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for place in &places {
            if let Some(id) = id_of(batch, *place, self.dedupe.column) {
                asked.push(*place);
                ids.push(id);
                times.push(Micros(batch.row(*place).time));
            }
        }
        let (Some(lower), Some(upper)) = (times.iter().min().copied(), times.iter().max().copied()) else {
            return Ok(places);
        };
        #[allow(clippy::cast_precision_loss)]
        let window = self.dedupe.window_ms as f64;
        let us = i64::try_from(self.dedupe.window_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let (lower, upper) = (lower.0.saturating_sub(us), upper.0.saturating_add(us));
        let rows = session
            .client
            .query(&self.statement, &[&RawArray(ids), &times, &Micros(lower), &Micros(upper), &window])
            .await
            .map_err(|e| ours(session.failed(&e)).while_doing("looking for events that are there already"))?;
        let known: Option<HashSet<Place>> = rows
            .iter()
            .map(|row| asked.get(usize::try_from(row.get::<_, i64>(0) - 1).ok()?).copied())
            .collect();
        let known = known.ok_or_else(|| Error::end("an answer names a row that was not asked for"))?;
        Ok(places.into_iter().filter(|place| !known.contains(place)).collect())
    }
}

/// The id of a row's event, as it is sent; NULL is none.
fn id_of(batch: &Batch, place: Place, column: usize) -> Option<&[u8]> {
    let row = batch.row(place);
    let bytes = batch.chunks.get(place.0 as usize)?.bytes.get(row.start as usize..row.end as usize)?;
    split(bytes).get(column).copied().flatten()
}

impl Batch {
    /// Leaves of several rows with one id, whose times are near enough, the first.
    pub fn first_by_id(&self, places: Vec<Place>, dedupe: Dedupe) -> Vec<Place> {
        let window_us = dedupe.window_ms.saturating_mul(1_000);
        let mut seen: std::collections::HashMap<&[u8], i64> = std::collections::HashMap::new();
        let mut kept = Vec::with_capacity(places.len());
        for place in places {
            let time = self.row(place).time;
            let again = id_of(self, place, dedupe.column).and_then(|id| seen.insert(id, time));
            if again.is_none_or(|before| before.abs_diff(time) > window_us) {
                kept.push(place);
            }
        }
        kept
    }
}

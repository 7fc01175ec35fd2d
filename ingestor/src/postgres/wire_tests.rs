//! Our own encoding of values against the driver's, byte for byte, for every type that both know.
#![allow(clippy::unwrap_used)]

use crate::decode::tests::{Spec, one};
use base64::Engine;
use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::json;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};
use strata_core::copy::CopyBuffer;
use tokio_postgres::types::{IsNull, ToSql, Type};

/// As the driver sends it.
fn driver(value: &(impl ToSql + Sync), ty: &Type) -> Option<Vec<u8>> {
    let mut out = BytesMut::new();
    match value.to_sql_checked(ty, &mut out).unwrap() {
        IsNull::Yes => None,
        IsNull::No => Some(out.to_vec()),
    }
}

/// As the decoder writes it, from JSON.
fn ours(ty: &Type, name: &'static str, value: &serde_json::Value) -> Option<Vec<u8>> {
    let spec: Spec = ("c", ty.oid(), name, -1, false);
    one(spec, &value.to_string()).unwrap()
}

/// As a row's buffer holds it.
fn buffered(write: impl FnOnce(&mut CopyBuffer)) -> Vec<u8> {
    let mut copy = CopyBuffer::new(1);
    copy.begin_row();
    write(&mut copy);
    copy.last_value().to_vec()
}

fn text() -> impl Strategy<Value = String> {
    "[^\\x00]{0,40}"
}

proptest! {
    #[test]
    fn numbers(small in any::<i16>(), int in any::<i32>(), big in any::<i64>(), flag in any::<bool>()) {
        prop_assert_eq!(ours(&Type::INT2, "smallint", &json!(small)), driver(&small, &Type::INT2));
        prop_assert_eq!(ours(&Type::INT4, "integer", &json!(int)), driver(&int, &Type::INT4));
        prop_assert_eq!(ours(&Type::INT8, "bigint", &json!(big)), driver(&big, &Type::INT8));
        prop_assert_eq!(ours(&Type::BOOL, "boolean", &json!(flag)), driver(&flag, &Type::BOOL));
    }

    #[test]
    fn floats(single in any::<f32>(), double in any::<f64>()) {
        prop_assert_eq!(Some(buffered(|copy| copy.f32(single))), driver(&single, &Type::FLOAT4));
        prop_assert_eq!(Some(buffered(|copy| copy.f64(double))), driver(&double, &Type::FLOAT8));
        // (JSON has no others)
        if single.is_normal() && double.is_normal() {
            let single_text = serde_json::from_str(&format!("{single:e}")).unwrap_or(json!(single));
            prop_assert_eq!(ours(&Type::FLOAT8, "double precision", &json!(double)), driver(&double, &Type::FLOAT8));
            prop_assert_eq!(ours(&Type::FLOAT4, "real", &single_text), driver(&single, &Type::FLOAT4));
        }
    }

    #[test]
    fn characters(text in text(), bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for (ty, name) in [(Type::TEXT, "text"), (Type::VARCHAR, "character varying"), (Type::BPCHAR, "character")] {
            prop_assert_eq!(ours(&ty, name, &json!(text)), driver(&text, &ty));
        }
        let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
        prop_assert_eq!(ours(&Type::BYTEA, "bytea", &json!(encoded)), driver(&bytes, &Type::BYTEA));
    }

    #[test]
    fn documents(key in text(), value in text(), number in any::<i32>(), flags in proptest::collection::vec(any::<bool>(), 0..4)) {
        let document = json!({ "a": value, key: { "n": number, "b": flags } });
        prop_assert_eq!(ours(&Type::JSON, "json", &document), driver(&document, &Type::JSON));
        prop_assert_eq!(ours(&Type::JSONB, "jsonb", &document), driver(&document, &Type::JSONB));
    }

    #[test]
    fn times(us in 0_u64..4_000_000_000_000_000) {
        let time = UNIX_EPOCH + Duration::from_micros(us);
        let written = strata_core::time::format_timestamptz(i64::try_from(us).unwrap() - 946_684_800_000_000);
        let ours = ours(&Type::TIMESTAMPTZ, "timestamp with time zone", &json!(written));
        prop_assert_eq!(ours, driver(&time, &Type::TIMESTAMPTZ), "{}", written);
    }

    #[test]
    fn addresses(address in any::<IpAddr>()) {
        prop_assert_eq!(ours(&Type::INET, "inet", &json!(address.to_string())), driver(&address, &Type::INET));
    }

    #[test]
    fn arrays(
        ints in proptest::collection::vec(proptest::option::of(any::<i32>()), 1..6),
        texts in proptest::collection::vec(proptest::option::of(text()), 1..6)
    ) {
        prop_assert_eq!(ours(&Type::INT4_ARRAY, "integer[]", &json!(ints)), driver(&ints, &Type::INT4_ARRAY));
        prop_assert_eq!(ours(&Type::TEXT_ARRAY, "text[]", &json!(texts)), driver(&texts, &Type::TEXT_ARRAY));
    }
}

#[test]
fn what_is_not_there() {
    for (ty, name) in [(Type::INT4, "integer"), (Type::TEXT, "text"), (Type::JSONB, "jsonb")] {
        assert_eq!(ours(&ty, name, &json!(null)), None);
    }
    assert_eq!(driver(&None::<i32>, &Type::INT4), None);
}

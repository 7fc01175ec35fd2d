use crate::support::hex;
use strata_core::copy::CopyBuffer;

const HEADER_HEX: &str = "5047434f50590aff0d0a000000000000000000";

#[test]
fn a_stream_is_header_rows_and_trailer() {
    let mut copy = CopyBuffer::new(2);
    copy.begin_row();
    copy.i64(1_000_002);
    copy.null();
    copy.begin_row();
    copy.bool(true);
    copy.bytes(b"ab");
    copy.finish();
    let rows = "0002 00000008 00000000000f4242 ffffffff 0002 00000001 01 00000002 6162".replace(' ', "");
    assert_eq!(hex(copy.as_slice()), format!("{HEADER_HEX}{rows}ffff"));
    assert_eq!((copy.rows(), copy.len()), (2, copy.as_slice().len()));
}

#[test]
fn fields_are_in_wire_format() {
    type Write = fn(&mut CopyBuffer);
    let cases: [(Write, &str); 9] = [
        (|copy| copy.i16(-2), "00000002fffe"),
        (|copy| copy.i32(1), "0000000400000001"),
        (|copy| copy.i64(i64::MAX), "000000087fffffffffffffff"),
        (|copy| copy.f32(1.5), "000000043fc00000"),
        (|copy| copy.f64(-2.0), "00000008c000000000000000"),
        (|copy| copy.bool(false), "0000000100"),
        (|copy| copy.jsonb_text(br#"{"k":1}"#), "00000008017b226b223a317d"),
        (|copy| copy.interval(2, 3, 4), "0000001000000000000000040000000300000002"),
        (|copy| copy.bytes(b""), "00000000"),
    ];
    for (write, expected) in cases {
        let mut copy = CopyBuffer::new(1);
        copy.begin_row();
        write(&mut copy);
        assert_eq!(hex(&copy.as_slice()[21..]), expected);
        assert_eq!(hex(copy.last_value()), expected[8..]);
    }
}

#[test]
fn a_field_written_in_place_gets_its_length() {
    let mut copy = CopyBuffer::new(1);
    copy.begin_row();
    let refused = copy.field(|out| {
        out.extend_from_slice(b"half");
        Err("no")
    });
    assert_eq!(refused, Err("no"));
    let written: Result<(), ()> = copy.field(|out| {
        out.extend_from_slice(b"whole");
        Ok(())
    });
    assert_eq!(written, Ok(()));
    assert_eq!(hex(&copy.as_slice()[21..]), "0000000577686f6c65");
    assert_eq!(copy.last_value(), b"whole");
}

#[test]
fn rollback_leaves_no_trace() {
    let mut copy = CopyBuffer::new(2);
    copy.begin_row();
    copy.i32(1);
    copy.i32(2);
    let (before, mark) = (copy.clone(), copy.mark());
    copy.begin_row();
    copy.i32(3);
    copy.rollback(mark);
    assert_eq!((copy.as_slice(), copy.rows()), (before.as_slice(), 1));
    copy.begin_row();
    copy.null();
    copy.null();
    copy.finish();
}

#[test]
fn taken_parts_make_the_whole() {
    let mut whole = CopyBuffer::new(1);
    let mut parts = CopyBuffer::with_capacity(1, 64);
    let mut sent = Vec::new();
    for n in 0..100 {
        whole.begin_row();
        whole.i32(n);
        parts.begin_row();
        parts.i32(n);
        if parts.len() > 50 {
            sent.extend(parts.take(64));
            assert!(parts.is_empty());
        }
    }
    whole.finish();
    parts.finish();
    sent.extend(parts.take(0));
    assert_eq!((sent.as_slice(), parts.rows()), (whole.as_slice(), 100));
}

#[test]
#[should_panic(expected = "the row before lacks columns")]
fn a_short_row_is_a_bug() {
    let mut copy = CopyBuffer::new(2);
    copy.begin_row();
    copy.null();
    copy.begin_row();
}

#[test]
#[should_panic(expected = "more columns than promised")]
fn a_long_row_is_a_bug() {
    let mut copy = CopyBuffer::new(1);
    copy.begin_row();
    copy.null();
    copy.i16(1);
}

#[test]
fn clear_starts_anew() {
    let mut copy = CopyBuffer::new(1);
    copy.begin_row();
    copy.clear();
    assert_eq!((hex(copy.as_slice()).as_str(), copy.rows()), (HEADER_HEX, 0));
}

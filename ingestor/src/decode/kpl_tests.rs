#![allow(clippy::unwrap_used)]

use super::super::tests::{unhex, vectors};
use super::*;
use proptest::prelude::*;
use sha2::Sha256;

fn pairs(record: &[u8]) -> Option<Vec<(String, String)>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(split(record, 1000)?.iter().map(|u| (text(u.partition_key), text(u.data))).collect())
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, d)| ((*k).to_owned(), (*d).to_owned())).collect()
}

#[test]
fn records_of_the_format_s_description() {
    let minimal = unhex("f3899ac20a01611a0508001a01781a0508001a01794ce17b1ac841e7ccc082e6c0e097f7f6");
    assert_eq!(pairs(&minimal).unwrap(), expected(&[("a", "x"), ("a", "y")]));
    assert_eq!(split(&minimal, 1).unwrap().len(), 1);
    let hash_key = "f3899ac20a01610a01621201301a0b080010001a0568656c6c6f1a0908011a05776f726c6411082a01a04e8db1e24bec2c64b61acd";
    assert_eq!(pairs(&unhex(hash_key)).unwrap(), expected(&[("a", "hello"), ("b", "world")]));
}

/// Output of the KPL itself, from the tests of awslabs/kinesis-aggregation (Apache-2.0).
const REAL: &str = "f3899ac20a2466633033646438382d336537392d343438612d623031612d3763663162643437623738340a2463616534316231632d656136312d343366322d393062652d62383735356562\
66383865320a2464343930363930632d653734642d346462322d613363382d6438663266313834666432330a2463393234626330392d623835652d343766312d623332652d333336353232\
656535336338122633383438363439353836373530383339393037383135393732333834363035313830373032301227313933373837363030303337363831373036393532313433333537\
303731393136333532363034122732363638383034333639363439333234323432363534363639313637333430363836383434333912273333393630363630303934323936373339313835\
343630333535323430323032313834373239321a26080010001a205245434f5244203232207065656f6268637a627a646d736b626f75706779710a1a26080110011a205245434f52442032\
33207573776b78667478726f657573736378736a686e6f0a1a26080210021a205245434f524420323420636173656864676976666178657573746c79737a790a1a26080310031a20524543\
4f5244203235206e76666676706d756f67646f706a68616d6576726b0a51c153d0de0a34ca9e18ea4bccd2add5";

#[test]
fn a_record_of_the_library_itself() {
    let record = unhex(REAL);
    let users = pairs(&record).unwrap();
    assert_eq!(users.len(), 4);
    assert_eq!(
        users[0],
        ("fc03dd88-3e79-448a-b01a-7cf1bd47b784".to_owned(), "RECORD 22 peeobhczbzdmskboupgyq\n".to_owned())
    );
    assert!(users[3].1.starts_with("RECORD 25 "));
}

#[test]
fn what_is_no_whole_frame_is_an_ordinary_record() {
    let record = unhex(REAL);
    assert!((0..record.len()).all(|length| pairs(&record[..length]).is_none()));
    for at in 0..record.len() {
        let mut flipped = record.clone();
        flipped[at] ^= 0x10;
        assert_eq!(pairs(&flipped), None, "byte {at}");
    }
    // The digest right, the message not: no partition key 7, no data, a group, a field 0.
    for message in
        ["0a01611a0508071a0178", "0a01611a020800", "0a01611a031a0178", "0b0c", "000a0161", "1a00", "08"]
    {
        let message = unhex(message);
        let framed = [&MAGIC[..], &message, &Md5::digest(&message)].concat();
        assert_eq!(pairs(&framed), None, "{message:?}");
    }
}

#[test]
fn records_of_another_aggregator() {
    for vector in vectors() {
        let inner = vector["inner"].as_array().unwrap();
        let record = unhex(vector["record"].as_str().unwrap());
        let users = split(&record, 1000);
        assert_eq!(users.is_none(), inner.is_empty(), "{}", vector["name"]);
        for (user, expected) in users.iter().flatten().zip(inner) {
            assert_eq!(user.partition_key, expected["key"].as_str().unwrap().as_bytes());
            assert_eq!(Sha256::digest(user.data).as_slice(), unhex(expected["sha256"].as_str().unwrap()));
        }
        assert_eq!(users.map_or(0, |users| users.len()), inner.len(), "{}", vector["name"]);
    }
}

proptest! {
    #[test]
    fn what_is_put_in_comes_out(
        users in proptest::collection::vec(("[aß]{0,2}", proptest::collection::vec(any::<u8>(), 0..300)), 1..20)
    ) {
        let record = aggregate(users.iter().map(|(key, data)| (key.as_str(), data.as_slice())));
        let found = split(&record, 1000).unwrap();
        let found: Vec<(String, Vec<u8>)> = found.iter()
            .map(|u| (String::from_utf8(u.partition_key.to_vec()).unwrap(), u.data.to_vec())).collect();
        prop_assert_eq!(found, users);
    }

    #[test]
    fn any_message_with_its_digest_is_read_or_not(message in proptest::collection::vec(any::<u8>(), 0..100)) {
        let framed = [&MAGIC[..], &message, &Md5::digest(&message)].concat();
        // A user record takes six bytes at least.
        prop_assert!(split(&framed, 1000).is_none_or(|users| users.len() * 6 <= message.len()));
    }

    #[test]
    fn a_damaged_message_with_its_digest_is_read_or_not(at in 0_usize..475, bits in 1_u8..) {
        let record = unhex(REAL);
        let mut message = record[4..record.len() - 16].to_vec();
        message[at] ^= bits;
        split(&[&MAGIC[..], &message, &Md5::digest(&message)].concat(), 1000);
    }
}

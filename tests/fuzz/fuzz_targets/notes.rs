//! Signed notes and checkpoints: no panic on any text, and none but the one that was signed opens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strata_core::digest::{Checkpoint, DigestSigner, DigestVerifier};

fuzz_target!(|input: (String, Vec<(u16, u8)>)| {
    let (text, changes) = input;
    let _ = (DigestSigner::from_text(&text), DigestVerifier::from_text(&text));
    if let Ok(read) = Checkpoint::from_text(&text) {
        let Ok(written) = read.to_text() else { panic!("{read:?} is not written") };
        assert!(
            text.starts_with(&written) && Checkpoint::from_text(&written).is_ok_and(|again| again == read)
        );
    }
    let Ok(signer) = DigestSigner::new("log.example.com", &[7; 32]) else { panic!("no signer") };
    assert!(signer.verifier().open(&text).is_err());

    let signed = format!("{}\n", text.replace('\0', "").trim());
    let Ok(note) = signer.sign(&signed) else { return };
    assert_eq!(signer.verifier().open(&note).ok(), Some(&*signed));
    let mut bytes = note.into_bytes();
    for (place, bits) in changes {
        let place = usize::from(place) % bytes.len();
        bytes[place] ^= bits & 0x7f;
    }
    if let Ok(changed) = String::from_utf8(bytes) {
        // (what stands between the lines of signatures may be another's)
        assert!(
            signer.verifier().open(&changed).is_ok_and(|opened| opened == signed)
                || signer.verifier().open(&changed).is_err()
        );
    }
});

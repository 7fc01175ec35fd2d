use proptest::prelude::*;
use strata_core::digest::{Checkpoint, DigestError, DigestSigner, DigestVerifier};

/// The example of Go's package golang.org/x/mod/sumdb/note, which C2SP's format comes from.
const SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn signs_and_opens_the_published_note() {
    let signer = DigestSigner::from_text(SECRET).unwrap();
    assert_eq!(signer.verifier().to_text(), PUBLIC);
    assert_eq!(signer.to_secret_text(), SECRET);
    let note = format!("{TEXT}\n{SIGNATURE}");
    assert_eq!(signer.sign(TEXT).unwrap(), note);
    assert_eq!(DigestVerifier::from_text(PUBLIC).unwrap().open(&note), Ok(TEXT));
}

/// The example of <https://c2sp.org/signed-note>.
#[test]
fn opens_the_note_of_the_specification() {
    let verifier =
        DigestVerifier::from_text("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
            .unwrap();
    let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(verifier.open(note), Ok("This is an example message.\n"));
}

#[test]
fn a_secret_is_not_shown() {
    let shown = format!("{:?}", DigestSigner::from_text(SECRET).unwrap());
    assert!(shown.contains("PeterNeumann") && !shown.contains("AYEKFAL"), "{shown}");
}

#[test]
fn other_signatures_are_passed_over_and_wrong_ones_refused() {
    let verifier = DigestVerifier::from_text(PUBLIC).unwrap();
    let other = DigestSigner::new("other", &[7; 32]).unwrap();
    let foreign = other.sign(TEXT).unwrap();
    assert_eq!(verifier.open(&foreign), Err(DigestError::Unsigned("PeterNeumann".into())));
    let both = format!("{foreign}{SIGNATURE}");
    assert_eq!(verifier.open(&both), Ok(TEXT));
    let changed = format!("{TEXT}\n{SIGNATURE}").replace("answer", "ansver");
    assert_eq!(verifier.open(&changed), Err(DigestError::Signature("PeterNeumann".into())));
    // the same name with another key is another signer
    let impostor = DigestSigner::new("PeterNeumann", &[7; 32]).unwrap();
    assert_eq!(
        verifier.open(&impostor.sign(TEXT).unwrap()),
        Err(DigestError::Unsigned("PeterNeumann".into()))
    );
}

#[test]
fn malformed_notes_and_keys_are_refused() {
    let verifier = DigestVerifier::from_text(PUBLIC).unwrap();
    for note in [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "text\n\n— PeterNeumann x08g",
        "text\n\n- a b\n",
        "te\txt\n\n— a AAAAAAAA\n",
    ] {
        assert!(matches!(verifier.open(note), Err(DigestError::Note(_))), "{note:?}");
    }
    for key in [
        "",
        "a+b",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "a+00000000+AAAA",
        "a+zz+AAAA",
    ] {
        assert_eq!(DigestVerifier::from_text(key).unwrap_err(), DigestError::Key, "{key}");
        assert_eq!(
            DigestSigner::from_text(&format!("PRIVATE+KEY+{key}")).unwrap_err(),
            DigestError::Key,
            "{key}"
        );
    }
    for name in ["", "a b", "a+b", "a\n"] {
        assert!(matches!(DigestSigner::new(name, &[1; 32]), Err(DigestError::Name(_))), "{name:?}");
    }
}

#[test]
fn checkpoints_read_back() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let checkpoint = Checkpoint::from_text(text).unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.to_text().unwrap(), text);
    // extension lines say nothing to us
    assert_eq!(Checkpoint::from_text(&format!("{text}more\n")).unwrap(), checkpoint);
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    for text in [
        String::new(),
        "a\n".into(),
        "a\n1\n".into(),
        format!("a\n1\n{root}"),
        format!("a\n01\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n18446744073709551616\n{root}\n"),
        format!("a b\n1\n{root}\n"),
        "a\n1\nAAAA\n".into(),
        format!("a\n1\n{root}\n\n"),
    ] {
        assert!(matches!(Checkpoint::from_text(&text), Err(DigestError::Checkpoint(_))), "{text:?}");
    }
}

proptest! {
    #[test]
    fn nothing_else_opens(place in 0usize..240, byte in any::<u8>(), junk in ".{0,200}") {
        let verifier = DigestVerifier::from_text(PUBLIC).unwrap();
        let mut bytes = format!("{TEXT}\n{SIGNATURE}").into_bytes();
        let place = place % bytes.len();
        let changed = bytes[place] != byte;
        bytes[place] = byte;
        if let Ok(note) = String::from_utf8(bytes) {
            prop_assert_eq!(verifier.open(&note).is_ok(), !changed, "{}", note);
        }
        prop_assert!(verifier.open(&junk).is_err());
        let _ = Checkpoint::from_text(&junk);
    }
}

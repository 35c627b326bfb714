use super::archive::Packer;
use super::write::Writer;
use super::{Meta, SealNote, inspect};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use strongroom_barrier::SealKind;
use strongroom_model::Timestamp;
use strongroom_storage::{Entry, Revision};

/// A seal record in clear is enough here: nothing in this file opens it.
const SEAL: &str = r#"{"version":1,"cluster_id":"6f0c1c0e-58c5-4d5e-8f0a-3d9b7d0b7b11","slots":[{"kind":"static",
    "id":"6f0c1c0e-58c5-4d5e-8f0a-3d9b7d0b7b12","wrapped":"00","check":"00000000000000000000000000000000"}],"keyring":"00"}"#;

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn meta() -> Meta {
    Meta {
        format: "strongroom-snapshot".to_owned(),
        version: 1,
        created: Timestamp::from_secs(1_800_000_000),
        generation: 42,
        cluster_id: "6f0c1c0e-58c5-4d5e-8f0a-3d9b7d0b7b11".to_owned(),
        seal: SealNote { kind: SealKind::Static, shares: 0, threshold: 0 },
        public_key: hex::encode(pair().public_key().as_ref()),
    }
}

fn rows(count: u32) -> Vec<Entry> {
    let row = |key: Vec<u8>, value: Vec<u8>| Entry { key, value, rev: Revision(1) };
    let mut rows = vec![row(b"\x00seal".to_vec(), SEAL.as_bytes().to_vec())];
    rows.extend((0..count).map(|n| row([&[1], n.to_be_bytes().as_slice()].concat(), vec![n as u8; 900])));
    rows
}

fn written(rows: &[Entry], meta: &Meta) -> Vec<u8> {
    let mut writer = Writer::new(meta).unwrap();
    let mut bytes = Vec::new();
    for portion in rows.chunks(10) {
        bytes.extend(writer.add(portion).unwrap());
    }
    bytes.extend(writer.finish(|text| pair().sign(text).as_ref().try_into().unwrap()).unwrap());
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    inspect(bytes).expect_err("it is refused").to_string()
}

#[test]
fn what_was_written_is_read_and_counted() {
    let report = inspect(written(&rows(35), &meta()).as_slice()).unwrap();
    assert_eq!((report.records, report.meta.clone()), (36, meta()));
    assert_eq!(report.bytes, (5 + SEAL.len() + 35 * 905) as u64);
    assert_eq!(report.digest.len(), 64);
}

#[test]
fn a_snapshot_cut_off_anywhere_is_refused() {
    let whole = written(&rows(35), &meta());
    for length in (0..whole.len()).step_by(97).chain(whole.len() - 20..whole.len()) {
        assert!(inspect(&whole[..length]).is_err(), "{length} of {}", whole.len());
    }
    assert!(refusal(&[whole.as_slice(), b"x"].concat()).contains("follows its end"));
}

#[test]
fn any_changed_byte_is_noticed() {
    let whole = written(&rows(12), &meta());
    // Bytes 4 to 9 of the header of gzip are a time and a system, which say nothing.
    for at in (0..whole.len()).filter(|at| !(3..10).contains(at)).step_by(7) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        // What is outside of any file (owner, padding) may change, but then the check sum of gzip does not fit.
        assert!(inspect(changed.as_slice()).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_not_ours_or_not_whole_is_refused_with_the_reason() {
    assert!(refusal(b"not gzip at all").contains("no snapshot"));
    let mut vaults = Packer::new(Timestamp::from_secs(1));
    vaults.file("meta.json", br#"{"Version":1,"ID":"bolt-snapshot","Index":17,"Term":2}"#).unwrap();
    vaults.file("state.bin", b"...").unwrap();
    assert!(refusal(&vaults.finish().unwrap()).contains("no snapshot of this program"));
    let later = Meta { version: 2, ..meta() };
    assert!(refusal(&written(&rows(1), &later)).contains("use a later one"));
    assert!(refusal(&written(&rows(5)[1..], &meta())).contains("no seal record"));
    let mut twice = rows(5);
    twice.swap(2, 3);
    assert!(refusal(&written(&twice, &meta())).contains("out of order"));
    let other = Meta { cluster_id: "6f0c1c0e-58c5-4d5e-8f0a-000000000000".to_owned(), ..meta() };
    assert!(refusal(&written(&rows(5), &other)).contains("another strongroom"));
    let forged = Meta { public_key: hex::encode([1; 32]), ..meta() };
    assert!(refusal(&written(&rows(5), &forged)).contains("signature is wrong"));
}

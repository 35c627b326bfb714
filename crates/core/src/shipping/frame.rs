//! How a line is wrapped for its way: as it is, or as a syslog message.

use super::far_end::Facility;
use strongroom_audit::Parcel;
use strongroom_model::Timestamp;

/// The largest message that goes into a datagram; a UDP datagram ends at 65,507 bytes.
pub(super) const MOST_DATAGRAM: usize = 60_000;

/// A syslog message (RFC 5424, 6): MSGID is the number of the entry, by which repetitions are told.
pub(super) fn syslog(parcel: &Parcel, facility: Facility, tag: &str, process: u32) -> Vec<u8> {
    let priority = u16::from(facility.code()) * 8 + u16::from(parcel.severity);
    let time = stamp(parcel.time);
    let mut message = format!("<{priority}>1 {time} - {tag} {process} {} - ", parcel.seq).into_bytes();
    message.extend_from_slice(&parcel.text);
    message
}

/// A message with its length in front (RFC 6587, 3.4.1; RFC 5425, 4.3).
pub(super) fn counted(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{} ", message.len()).as_bytes());
    out.extend_from_slice(message);
}

/// In place of an entry that is too long for a datagram.
pub(super) fn too_long(parcel: &Parcel) -> Parcel {
    let text =
        format!("{{\"seq\":{},\"note\":\"the entry is too long for a datagram; see the audit trail\"}}", parcel.seq);
    Parcel { text: text.into_bytes(), ..parcel.clone() }
}

/// TIMESTAMP (RFC 5424, 6.2.3): at most six digits of a second.
fn stamp(time: Timestamp) -> String {
    Timestamp::from_nanos(time.nanos() / 1_000 * 1_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_framed_as_the_rfcs_have_it() {
        let parcel = Parcel {
            seq: 42,
            time: Timestamp::from_nanos(1_763_703_296_123_456_789),
            severity: 4,
            text: "{\"ü\":1}".as_bytes().to_vec(),
        };
        let message = syslog(&parcel, Facility::default(), "strongroom", 7);
        let text = "<36>1 2025-11-21T05:34:56.123456Z - strongroom 7 42 - {\"ü\":1}";
        assert_eq!(String::from_utf8(message.clone()).unwrap(), text);
        let mut framed = Vec::new();
        counted(&message, &mut framed);
        // The length is in octets, not in characters.
        assert_eq!(String::from_utf8(framed).unwrap(), format!("{} {text}", text.len()));
        assert_eq!(text.len(), text.chars().count() + 1);
        assert_eq!(Facility::parse("local7").map(Facility::code), Some(23));
        assert_eq!(Facility::parse("local8"), None);
    }
}

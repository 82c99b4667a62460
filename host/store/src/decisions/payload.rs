//! What the journal says about decisions: payloads of its entries of kinds 3 to 5.
//!
//! Field numbers never change their meaning. A decision about very many reports takes several entries, all of the same revision.

use ladder::id::JournalSeq;
use ladder::journal::EntryKind;
use prost::Message as _;

use super::Decision;

/// Reports that one entry names; a decision about more takes more entries.
pub(super) const REPORTS_PER_ENTRY_MAX: usize = 50_000;

/// A release as an entry's payload.
pub(super) fn encode_released(seq: JournalSeq, decision: &Decision) -> Vec<u8> {
    wire::Released { seq: seq.0, by: decision.by().to_owned(), why: decision.why().to_owned() }.encode_to_vec()
}

/// Part of a void as an entry's payload.
pub(super) fn encode_voided(revision: u64, reports: &[JournalSeq], decision: &Decision, incident: Option<&str>) -> Vec<u8> {
    let (by, why) = (decision.by().to_owned(), decision.why().to_owned());
    wire::Voided { revision, reports: numbers(reports), by, why, incident: incident.unwrap_or_default().to_owned() }.encode_to_vec()
}

/// Part of a restoration as an entry's payload. `voided_by` is the first entry of the void that it takes back.
pub(super) fn encode_restored(revision: u64, voided_by: JournalSeq, reports: &[JournalSeq], decision: &Decision) -> Vec<u8> {
    let (by, why) = (decision.by().to_owned(), decision.why().to_owned());
    wire::Restored { revision, voided_by: voided_by.0, reports: numbers(reports), by, why }.encode_to_vec()
}

fn numbers(reports: &[JournalSeq]) -> Vec<u64> {
    reports.iter().map(|seq| seq.0).collect()
}

/// Who released a report and why; `None`: no version of this program wrote it.
pub(super) fn released_by(payload: &[u8]) -> Option<(String, String)> {
    let released = wire::Released::decode(payload).ok()?;
    Some((released.by, released.why))
}

/// Whether the payload of a decision can be read; entries of other kinds are none of ours.
pub(crate) fn is_readable(kind: EntryKind, payload: &[u8]) -> bool {
    match kind {
        EntryKind::Released => wire::Released::decode(payload).is_ok_and(|released| released.seq > 0),
        EntryKind::Voided => wire::Voided::decode(payload).is_ok_and(|voided| voided.revision > 0 && !voided.reports.is_empty()),
        EntryKind::Restored => wire::Restored::decode(payload).is_ok_and(|restored| restored.revision > 0 && !restored.reports.is_empty()),
        _ => true,
    }
}

mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Released {
        #[prost(uint64, tag = "1")]
        pub(super) seq: u64,
        #[prost(string, tag = "2")]
        pub(super) by: String,
        #[prost(string, tag = "3")]
        pub(super) why: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Voided {
        #[prost(uint64, tag = "1")]
        pub(super) revision: u64,
        #[prost(uint64, repeated, tag = "2")]
        pub(super) reports: Vec<u64>,
        #[prost(string, tag = "3")]
        pub(super) by: String,
        #[prost(string, tag = "4")]
        pub(super) why: String,
        /// Empty: the reports were named one by one.
        #[prost(string, tag = "5")]
        pub(super) incident: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Restored {
        #[prost(uint64, tag = "1")]
        pub(super) revision: u64,
        #[prost(uint64, tag = "2")]
        pub(super) voided_by: u64,
        #[prost(uint64, repeated, tag = "3")]
        pub(super) reports: Vec<u64>,
        #[prost(string, tag = "4")]
        pub(super) by: String,
        #[prost(string, tag = "5")]
        pub(super) why: String,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::journal::PAYLOAD_BYTES_MAX;

    #[test]
    fn the_longest_decision_fits_one_payload() {
        let reports = vec![JournalSeq(u64::MAX); REPORTS_PER_ENTRY_MAX];
        let text = "x".repeat(super::super::TEXT_BYTES_MAX);
        let decision = Decision::new(&text, &text).unwrap();
        let payload = encode_voided(u64::MAX, &reports, &decision, Some(&text));
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{} bytes", payload.len());
        assert!(is_readable(EntryKind::Voided, &payload));
    }

    #[test]
    fn what_no_program_wrote_is_not_readable() {
        let decision = Decision::new("ann", "cheats").unwrap();
        let reports = [JournalSeq(3), JournalSeq(5)];
        for (kind, payload) in [
            (EntryKind::Released, encode_released(JournalSeq(3), &decision)),
            (EntryKind::Voided, encode_voided(1, &reports, &decision, None)),
            (EntryKind::Restored, encode_restored(2, JournalSeq(9), &reports, &decision)),
        ] {
            assert!(is_readable(kind, &payload), "{kind:?}");
            assert!(!is_readable(kind, &payload[..payload.len() - 1]), "{kind:?} cut");
            assert!(!is_readable(kind, &[]), "{kind:?} empty");
        }
    }
}

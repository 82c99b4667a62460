//! What is written down of a number that had to be changed: one sentence, which can be read back to put names in the place of numbers.

use core::fmt;
use core::str::FromStr;

/// One number of a report that was forced into its bounds. As text it is the detail of a reason:
/// `statistic 0 of player 3: 900 became 100`, or `total 1: -4 became 0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClampNote {
    /// Whose, counted within the report; `None`: a contest-wide statistic.
    pub player: Option<u16>,
    /// Index into the names of statistics, or of totals.
    pub stat: u16,
    /// As claimed: it may be no number.
    pub claimed: f64,
    /// As accepted.
    pub accepted: f64,
}

impl fmt::Display for ClampNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { player, stat, claimed, accepted } = self;
        match player {
            Some(player) => write!(f, "statistic {stat} of player {player}: {claimed} became {accepted}"),
            None => write!(f, "total {stat}: {claimed} became {accepted}"),
        }
    }
}

/// The text is no note of a clamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no note of a clamped number")]
pub struct NoClampNote;

impl FromStr for ClampNote {
    type Err = NoClampNote;

    fn from_str(text: &str) -> Result<Self, NoClampNote> {
        let read = || {
            let (whose, numbers) = text.split_once(": ")?;
            let (claimed, accepted) = numbers.split_once(" became ")?;
            let (stat, player) = match whose.strip_prefix("statistic ") {
                Some(whose) => {
                    let (stat, player) = whose.split_once(" of player ")?;
                    (stat, Some(player.parse().ok()?))
                }
                None => (whose.strip_prefix("total ")?, None),
            };
            Some(Self { player, stat: stat.parse().ok()?, claimed: claimed.parse().ok()?, accepted: accepted.parse().ok()? })
        };
        read().ok_or(NoClampNote)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_note_can_be_read_back() {
        for (note, text) in [
            (ClampNote { player: Some(3), stat: 0, claimed: 900.0, accepted: 100.0 }, "statistic 0 of player 3: 900 became 100"),
            (ClampNote { player: None, stat: 1, claimed: -0.5, accepted: 0.0 }, "total 1: -0.5 became 0"),
            (ClampNote { player: None, stat: 1, claimed: f64::INFINITY, accepted: 0.1 }, "total 1: inf became 0.1"),
        ] {
            assert_eq!(note.to_string(), text);
            assert_eq!(text.parse(), Ok(note));
        }
        let nan = "statistic 0 of player 0: NaN became 0";
        assert!(nan.parse::<ClampNote>().is_ok_and(|note| note.claimed.is_nan() && note.to_string() == nan));
    }

    #[test]
    fn other_texts_are_no_notes() {
        for text in
            ["", "a score was out of range", "statistic 0 of player 3 became 100", "statistic x of player 3: 1 became 2", "total 1: 2"]
        {
            assert_eq!(text.parse::<ClampNote>(), Err(NoClampNote), "{text}");
        }
    }
}

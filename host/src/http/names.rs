//! Which names an account may have.

/// Bytes of a name, at least.
pub const NAME_LEN_MIN: usize = 3;
/// Bytes of a name, at most.
pub const NAME_LEN_MAX: usize = 24;

/// The text cannot be a name here. The player's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has {NAME_LEN_MIN} to {NAME_LEN_MAX} of the letters A to Z and a to z, the digits, `_`, `-` and `.`, and begins and ends with a \
     letter or digit"
)]
pub struct BadName;

/// A name that somebody may register: ASCII, so that no two names look alike by accident of script or normalization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayerName(String);

impl PlayerName {
    /// Takes a text that keeps the rules.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn new(text: String) -> Result<Self, BadName> {
        let bytes = text.as_bytes();
        let length_fits = (NAME_LEN_MIN..=NAME_LEN_MAX).contains(&bytes.len());
        let alphabet_fits = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte));
        let ends_fit = [bytes.first(), bytes.last()].into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric));
        if length_fits && alphabet_fits && ends_fit { Ok(Self(text)) } else { Err(BadName) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What limits know the account by.
    #[must_use]
    pub fn key(&self) -> AccountKey {
        AccountKey::of(&self.0)
    }
}

/// A name without regard to case, of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountKey([u8; NAME_LEN_MAX]);

impl AccountKey {
    /// The key of a name; what is longer than a name can be is cut.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut key = [0; NAME_LEN_MAX];
        for (place, byte) in key.iter_mut().zip(name.bytes()) {
            *place = byte.to_ascii_lowercase();
        }
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_of_a_fitting_length() {
        for (text, fits) in [
            ("ada", true),
            ("Ada.L-1815_x", true),
            ("007", true),
            ("ab", false),
            ("", false),
            ("abcdefghijklmnopqrstuvwx", true),
            ("abcdefghijklmnopqrstuvwxy", false),
            (".ada", false),
            ("ada-", false),
            ("a da", false),
            ("ad\u{0430}", false),
            ("ada\n", false),
            ("a<b>c", false),
        ] {
            assert_eq!(PlayerName::new(text.to_owned()).is_ok(), fits, "{text:?}");
        }
    }

    #[test]
    fn case_makes_no_other_account() {
        assert_eq!(AccountKey::of("Ada"), AccountKey::of("aDA"));
        assert_ne!(AccountKey::of("ada"), AccountKey::of("adam"));
    }
}

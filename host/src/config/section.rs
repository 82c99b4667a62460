//! One source for the tables of `ranked.toml`: fields, defaults, limits and the comments that `ranked init` writes.

/// Declares tables of `ranked.toml`.
///
/// The doc comments become the comments of the written file, so they speak to the operator. A number's limits stand behind its default.
macro_rules! sections {
    ($(
        $(#[doc = $about:literal])*
        $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $kind:ty = $default:expr $(, in $range:expr)?;
            )*
        }
    )*) => {$(
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $kind, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::section::Section for $name {
            const ABOUT: &'static [&'static str] = &[$($about),*];
            const KEYS: &'static [$crate::config::section::Key] = &[
                $( $crate::config::section::Key { name: stringify!($field), about: &[$($doc),*] }, )*
            ];

            fn out_of_range(&self) -> Vec<$crate::config::section::OutOfRange> {
                #[allow(unused_mut)]
                let mut found = Vec::new();
                $($(
                    let range: std::ops::RangeInclusive<$kind> = $range;
                    if !range.contains(&self.$field) {
                        found.push($crate::config::section::OutOfRange {
                            key: stringify!($field),
                            problem: format!("{} is out of range: it must be {} to {}", self.$field, range.start(), range.end()),
                        });
                    }
                )?)*
                found
            }
        }
    )*};
}
pub(crate) use sections;

/// One key of a table, for the written file.
pub(crate) struct Key {
    /// As written.
    pub(crate) name: &'static str,
    /// The lines of its doc comment.
    pub(crate) about: &'static [&'static str],
}

/// A number that parses and cannot be used.
pub(crate) struct OutOfRange {
    /// Which key.
    pub(crate) key: &'static str,
    /// What to write instead.
    pub(crate) problem: String,
}

/// A table of `ranked.toml`.
pub(crate) trait Section: Default + serde::Serialize {
    /// The lines of its doc comment.
    const ABOUT: &'static [&'static str];
    /// Its keys, in the order of the declaration.
    const KEYS: &'static [Key];

    /// Every number outside its limits.
    fn out_of_range(&self) -> Vec<OutOfRange>;
}

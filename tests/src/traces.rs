//! Looks for the traces of secrets in what a host leaves behind: as they are, and in every way that text usually shows bytes.

use std::path::Path;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Every way in which `secret` might stand in a file or a log line.
fn forms(secret: &[u8]) -> [(&'static str, Vec<u8>); 6] {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    // Without the last character, which depends on what follows.
    let base64: Vec<u8> = base64(secret);
    let url_safe = base64.iter().map(|byte| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => *other,
    });
    [
        ("raw", secret.to_vec()),
        ("upper-case hex", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
        ("a list of numbers", list.trim_matches(['[', ']']).as_bytes().to_vec()),
        ("URL-safe base64", url_safe.collect()),
        ("base64", base64),
    ]
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    let (groups, _) = bytes.as_chunks::<3>();
    let digits = |[a, b, c]: &[u8; 3]| {
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        [18, 12, 6, 0].map(|shift| BASE64[(bits >> shift & 0x3f) as usize])
    };
    groups.iter().flat_map(digits).collect()
}

/// In which form `secret` stands in `haystack`, if it does.
#[must_use]
pub fn find(haystack: &[u8], secret: &[u8]) -> Option<&'static str> {
    assert!(secret.len() >= 16, "a short secret is found by chance");
    forms(secret).into_iter().find(|(_, form)| haystack.windows(form.len()).any(|window| window == form)).map(|(name, _)| name)
}

/// Every file below `folder` with its bytes.
#[must_use]
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a readable file")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_found_and_its_absence_too() {
        let secret: Vec<u8> = (200..232).collect();
        for (name, form) in forms(&secret) {
            let haystack = [b"before ", &form[..], b" after"].concat();
            assert_eq!(find(&haystack, &secret), Some(name));
        }
        assert_eq!(find(b"nothing of that kind, whatever it may look like", &secret), None);
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        assert_eq!(base64(b"foobar"), b"Zm9vYmFy");
    }
}

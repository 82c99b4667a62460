//! `community.toml`: what is public about a community. Game servers and players pin it; nothing in it is secret.

use std::collections::BTreeMap;

use protocol::id::{KeyEpoch, PepperId, RealmId};
use protocol::signature::PublicKey;

use super::key_file::parse_hex;
use crate::config::Public;

/// Realm, signing keys and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Community {
    /// Random, made once.
    pub realm_id: RealmId,
    /// Which pepper game servers need.
    pub pepper_id: PepperId,
    /// Base URL of the HTTP listener.
    pub http: String,
    /// Where game servers connect.
    pub s2s: String,
    /// Where players connect.
    pub rdv: String,
    /// Signing keys that are believed.
    pub signing_keys: BTreeMap<KeyEpoch, PublicKey>,
}

/// `community.toml` cannot be used. The operator's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("community.toml cannot be used: {problem}")]
pub struct CommunityError {
    /// What is wrong, in one line.
    pub problem: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    realm_id: String,
    pepper_id: u32,
    addresses: WrittenAddresses,
    signing_keys: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAddresses {
    http: String,
    s2s: String,
    rdv: String,
}

impl Community {
    /// Reads the file's text.
    ///
    /// # Errors
    /// The operator's fault: an edited or foreign file.
    pub fn parse(text: &str) -> Result<Self, CommunityError> {
        let bad = |problem: &str| CommunityError { problem: problem.to_owned() };
        let written: Written = toml::from_str(text).map_err(|error| bad(error.message()))?;
        let mut realm_id = [0; 16];
        parse_hex(&written.realm_id, &mut realm_id).ok_or(bad("realm_id has 32 hexadecimal digits"))?;
        let mut signing_keys = BTreeMap::new();
        for (key_epoch, key) in &written.signing_keys {
            let key_epoch = key_epoch.parse().ok().ok_or(bad("a key epoch is a number"))?;
            let mut public = [0; 32];
            parse_hex(key, &mut public).ok_or(bad("a signing key has 64 hexadecimal digits"))?;
            signing_keys.insert(KeyEpoch(key_epoch), PublicKey(public));
        }
        let WrittenAddresses { http, s2s, rdv } = written.addresses;
        Ok(Self { realm_id: RealmId(realm_id), pepper_id: PepperId(written.pepper_id), http, s2s, rdv, signing_keys })
    }

    /// The file's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let keys: String = self.signing_keys.iter().map(|(key_epoch, key)| format!("{key_epoch} = \"{key}\"\n")).collect();
        format!(
            "# community.toml: public. Give it to every game server, together with its .cert file and pepper.key.\n\
             realm_id = \"{}\"\npepper_id = {}\n\n[addresses]\nhttp = {}\ns2s = {}\nrdv = {}\n\n\
             # Key epoch = public signing key (Ed25519).\n[signing_keys]\n{keys}",
            self.realm_id,
            self.pepper_id,
            quoted(&self.http),
            quoted(&self.s2s),
            quoted(&self.rdv),
        )
    }

    /// Takes over the addresses of `ranked.toml`. Returns whether that changed anything.
    pub fn set_addresses(&mut self, public: &Public) -> bool {
        let Public { http, s2s, rdv } = public;
        let changed = (&self.http, &self.s2s, &self.rdv) != (http, s2s, rdv);
        (self.http, self.s2s, self.rdv) = (http.clone(), s2s.clone(), rdv.clone());
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_community_survives_its_text() {
        let community = Community {
            realm_id: RealmId([0xab; 16]),
            pepper_id: PepperId(3),
            http: "https://play.example".to_owned(),
            s2s: "play.example:7710".to_owned(),
            rdv: "play.example:7711".to_owned(),
            signing_keys: [(KeyEpoch(1), PublicKey([1; 32])), (KeyEpoch(12), PublicKey([2; 32]))].into(),
        };
        assert_eq!(Community::parse(&community.encode()), Ok(community));
        assert!(Community::parse("realm_id = 5").is_err());
    }
}

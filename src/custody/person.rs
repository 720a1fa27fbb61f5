//! Who runs a command, as the system knows them, and the roles they have.

use std::env;
use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::config::{Config, Role};
use super::error::CustodyError;

/// Somebody at a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The number of the user.
    pub uid: u32,
    /// Its name, or `#number` where it has none.
    pub name: String,
    groups: Vec<String>,
}

impl Person {
    /// Who runs this process. `trusted` is the user that the service runs as.
    ///
    /// `sudo` leaves behind who called it; that counts where this process is root or the service's user, who could do
    /// everything to the files in any case.
    #[must_use]
    pub fn here(trusted: Option<u32>) -> Self {
        let own = Uid::current();
        let called = env::var("SUDO_UID").ok().and_then(|number| number.parse().ok());
        match called.filter(|_| own.is_root() || trusted == Some(own.as_raw())) {
            Some(uid) => Self::of(Uid::from_raw(uid)),
            None => Self::of(own),
        }
    }

    fn of(uid: Uid) -> Self {
        let user = User::from_uid(uid).ok().flatten();
        let groups = user.as_ref().map(groups_of).unwrap_or_default();
        let name = user.map_or_else(|| format!("#{uid}"), |user| user.name);
        Self { uid: uid.as_raw(), name, groups }
    }

    /// Whether a role is theirs; without any roles in the configuration everybody has all of them.
    #[must_use]
    pub fn has(&self, role: Role, config: &Config) -> bool {
        !config.separates() || config.members(role).iter().any(|entry| self.is(entry))
    }

    /// Nothing if they have one of these roles, the refusal if not.
    pub fn require(&self, wanted: &[Role], config: &Config) -> Result<(), CustodyError> {
        if wanted.iter().any(|role| self.has(*role, config)) {
            return Ok(());
        }
        Err(CustodyError::NotInRole { person: self.name.clone(), wanted: wanted.to_vec() })
    }

    fn is(&self, entry: &str) -> bool {
        match (entry.strip_prefix('@'), entry.strip_prefix('#')) {
            (Some(group), _) => self.groups.iter().any(|own| own == group),
            (_, Some(number)) => number.parse() == Ok(self.uid),
            _ => entry == self.name,
        }
    }
}

fn groups_of(user: &User) -> Vec<String> {
    let Ok(name) = CString::new(user.name.as_str()) else { return Vec::new() };
    let named = |gid: Gid| Group::from_gid(gid).ok().flatten().map(|group| group.name);
    getgrouplist(&name, user.gid).unwrap_or_default().into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_given_by_name_number_and_group() {
        let person = Person { uid: 1003, name: "alice".to_owned(), groups: vec!["pacs".to_owned()] };
        for (entry, is) in [
            ("alice", true),
            ("bob", false),
            ("#1003", true),
            ("#100", false),
            ("@pacs", true),
            ("@alice", false),
            ("pacs", false),
        ] {
            let config = Config { custodians: vec![entry.to_owned()], ..Config::default() };
            assert_eq!(person.has(Role::Custodian, &config), is, "{entry}");
            assert!(!person.has(Role::Operator, &config), "{entry}");
        }
        assert!(person.has(Role::Operator, &Config::default()), "no roles, no separation");
    }

    #[test]
    fn who_runs_the_tests_has_a_name_or_a_number() {
        assert!(!Person::here(None).name.is_empty());
    }
}

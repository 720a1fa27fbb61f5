//! The keys of `[roles]`: who runs the service, who holds the keys, who looks on.

use serde::{Deserialize, Serialize};

use super::error::CustodyError;

/// What somebody is to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the service.
    Operator,
    /// Holds the keys.
    Custodian,
    /// Sees, and changes nothing.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Custodian, Self::Auditor];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Custodian => "custodian",
            Self::Auditor => "auditor",
        }
    }

    /// The role with this word.
    pub fn from_word(word: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::word).join(", ");
        let found = Self::ALL.into_iter().find(|role| role.word() == word);
        found.ok_or_else(|| format!("{word:?} is not one of {known}"))
    }

    /// As it stands in sentences.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Operator => "an operator",
            Self::Custodian => "a custodian",
            Self::Auditor => "an auditor",
        }
    }
}

/// The keys of `[roles]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Run the service: names of Unix users, `#number` for one by its number, `@name` for a group.
    pub operators: Vec<String>,
    /// Hold the keys.
    pub custodians: Vec<String>,
    /// See everything, change nothing.
    pub auditors: Vec<String>,
    /// Hours in which what one person asked for may be approved by a second one. Default 72.
    pub approve_hours_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { operators: Vec::new(), custodians: Vec::new(), auditors: Vec::new(), approve_hours_max: 72 }
    }
}

impl Config {
    /// Whether there are roles at all; without any, nobody is kept from anything that the system lets them do.
    #[must_use]
    pub fn separates(&self) -> bool {
        !(self.operators.is_empty() && self.custodians.is_empty() && self.auditors.is_empty())
    }

    /// Who has a role.
    #[must_use]
    pub fn members(&self, role: Role) -> &[String] {
        match role {
            Role::Operator => &self.operators,
            Role::Custodian => &self.custodians,
            Role::Auditor => &self.auditors,
        }
    }

    /// Refuses roles that separate nothing, or under which nobody could do anything.
    pub fn check(&self) -> Result<(), CustodyError> {
        let refuse = |text: String| Err(CustodyError::Config(text));
        if self.approve_hours_max == 0 || self.approve_hours_max > 24 * 31 {
            return refuse(format!(
                "approve_hours_max is {}, it must be from 1 to 744",
                self.approve_hours_max
            ));
        }
        if !self.separates() {
            return Ok(());
        }
        if self.custodians.is_empty() {
            return refuse("there are roles and no custodians: nobody could look after the keys".to_owned());
        }
        if let Some(both) = self.operators.iter().find(|name| self.custodians.contains(name)) {
            return refuse(format!("{both} is both an operator and a custodian: that separates nothing"));
        }
        let is_name = |name: &&String| {
            let bare = name.trim_start_matches(['@', '#']);
            !bare.is_empty() && !bare.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        let mut all = self.operators.iter().chain(&self.custodians).chain(&self.auditors);
        match all.find(|name| !is_name(name)) {
            Some(name) => refuse(format!("{name:?} is not the name of a user or a group")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn roles_that_separate_nothing_are_refused() {
        assert!(Config::default().check().is_ok() && !Config::default().separates());
        let good = Config {
            operators: names(&["alice", "@pacs"]),
            custodians: names(&["bob", "#1003"]),
            ..Config::default()
        };
        assert!(good.check().is_ok() && good.separates());
        for bad in [
            Config { custodians: names(&[]), ..good.clone() },
            Config { custodians: names(&["alice"]), ..good.clone() },
            Config { auditors: names(&["@"]), ..good.clone() },
            Config { approve_hours_max: 0, ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}

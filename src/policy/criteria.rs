//! Which images a peer may receive opened, where it is not all: conditions on the study and the hours.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::hours::{Hours, Moment};
use super::route::Route;
use crate::dicom::Uid;

/// Conditions that have to hold together. A key that is left out holds for everything; one whose attribute an image
/// does not have does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Criteria {
    /// Names of routes: what their destinations hold and they would carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Modality (0008,0060).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub modality: BTreeSet<String>,
    /// Institution Name (0008,0080).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub institution: BTreeSet<String>,
    /// Institutional Department Name (0008,1040) or Requesting Service (0032,1033).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub department: BTreeSet<String>,
    /// Days since Study Date (0008,0020), at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub study_days_max: Option<u32>,
    /// When.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
}

/// What is known of an image when somebody asks for it opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The destination that it comes from.
    pub pacs: String,
    /// SOP Class UID.
    pub sop_class: Option<Uid>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Station Name (0008,1010).
    pub station: Option<String>,
    /// Institution Name (0008,0080).
    pub institution: Option<String>,
    /// Institutional Department Name (0008,1040) and Requesting Service (0032,1033).
    pub departments: Vec<String>,
    /// Study Date (0008,0020), in days since 1970.
    pub study_day: Option<i64>,
}

impl Criteria {
    /// Whether there is nothing in it, so that it would hold for everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the hours are right, whatever the image.
    #[must_use]
    pub fn is_time(&self, moment: Moment) -> bool {
        self.hours.is_empty() || self.hours.iter().any(|hours| hours.covers(moment))
    }

    /// Whether all of it holds. `routes` are all routes there are.
    #[must_use]
    pub fn holds(&self, facts: &Facts, routes: &[Route], moment: Moment) -> bool {
        let named = |text: Option<&String>, set: &BTreeSet<String>| {
            set.is_empty() || text.is_some_and(|text| set.contains(text))
        };
        let is_of = |name: &String| routes.iter().any(|route| route.name == *name && route.carries(facts));
        // A study of tomorrow is one of a clock that goes wrong, or of another time zone: it is as young as can be.
        let is_young = |days: u32| facts.study_day.is_some_and(|day| moment.day - day <= i64::from(days));
        self.is_time(moment)
            && (self.routes.is_empty() || self.routes.iter().any(is_of))
            && named(facts.modality.as_ref(), &self.modality)
            && named(facts.institution.as_ref(), &self.institution)
            && (self.department.is_empty()
                || facts.departments.iter().any(|one| self.department.contains(one)))
            && self.study_days_max.is_none_or(is_young)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Acknowledge, WithoutPixels};

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn facts() -> Facts {
        Facts {
            pacs: "archive".to_owned(),
            sop_class: Uid::parse("1.2.3").ok(),
            modality: Some("CT".to_owned()),
            station: None,
            institution: Some("St. Anne".to_owned()),
            departments: vec!["CARDIO".to_owned(), "ER".to_owned()],
            study_day: Some(20_450),
        }
    }

    const MONDAY: Moment = Moment { unix: 0, day: 20_458, minute: 600 };

    #[test]
    fn every_condition_has_to_hold_and_what_is_missing_does_not() {
        let fits = Criteria {
            modality: set(&["CT", "MR"]),
            institution: set(&["St. Anne"]),
            department: set(&["ER"]),
            study_days_max: Some(8),
            hours: vec![Hours::parse("mon 09:00-11:00").unwrap()],
            routes: Vec::new(),
        };
        let holds = |criteria: &Criteria, facts: &Facts| criteria.holds(facts, &[], MONDAY);
        assert!(holds(&fits, &facts()));
        let others = [
            Facts { modality: Some("US".to_owned()), ..facts() },
            Facts { modality: None, ..facts() },
            Facts { institution: None, ..facts() },
            Facts { departments: vec!["ONKO".to_owned()], ..facts() },
            Facts { study_day: Some(20_449), ..facts() },
            Facts { study_day: None, ..facts() },
        ];
        for other in others {
            assert!(!holds(&fits, &other), "{other:?}");
        }
        let later = Moment { minute: 661, ..MONDAY };
        assert!(!fits.holds(&facts(), &[], later) && !fits.is_time(later) && fits.is_time(MONDAY));
    }

    #[test]
    fn a_route_holds_for_what_it_would_carry() {
        let route = Route {
            name: "hearts".to_owned(),
            calling: BTreeSet::new(),
            called: BTreeSet::new(),
            modality: set(&["CT"]),
            sop_class: BTreeSet::new(),
            station: BTreeSet::new(),
            destinations: vec!["archive".to_owned()],
            suite: "deepkeygen".to_owned(),
            acknowledge: Acknowledge::default(),
            without_pixels: WithoutPixels::default(),
        };
        let criteria = Criteria { routes: vec!["hearts".to_owned()], ..Criteria::default() };
        let routes = [route];
        assert!(criteria.holds(&facts(), &routes, MONDAY));
        for other in [
            Facts { modality: Some("MR".to_owned()), ..facts() },
            Facts { pacs: "cloud".to_owned(), ..facts() },
        ] {
            assert!(!criteria.holds(&other, &routes, MONDAY), "{other:?}");
        }
        assert!(Criteria::default().is_empty() && !criteria.is_empty());
    }
}

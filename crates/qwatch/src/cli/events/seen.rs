//! Which events the project's tests have caused in real QEMUs, and by which recipe.

/// Written by the test `events_seen_are_listed`; see there how to update it.
const LIST: &str = include_str!("seen.txt");

/// What is known about causing one event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Recipes of `qemu-lab`, each with the versions it was seen on: `7.2, 10.0`.
    By(Vec<(&'static str, &'static str)>),
    /// Nobody did, for this reason.
    Not(&'static str),
}

/// What is known about causing the event of this name.
pub(super) fn seen(event: &str) -> Seen {
    let mut recipes = Vec::new();
    for line in LIST.lines() {
        let mut cells = line.split('\t');
        let (name, recipe, rest) = (cells.next(), cells.next(), cells.next());
        if name != Some(event) {
            continue;
        }
        match (recipe, rest) {
            (Some("-"), Some(why)) => return Seen::Not(why),
            (Some(recipe), Some(versions)) => recipes.push((recipe, versions)),
            _ => {}
        }
    }
    Seen::By(recipes)
}

impl Seen {
    /// In sentences for a reader, one for each set of versions.
    pub(super) fn sentences(&self) -> Vec<String> {
        let recipes = match self {
            Seen::Not(why) => return vec![format!("Not by the project's tests: {why}.")],
            Seen::By(recipes) => recipes,
        };
        let mut sets: Vec<(&str, Vec<&str>)> = Vec::new();
        for (recipe, versions) in recipes {
            match sets.iter_mut().find(|(known, _)| known == versions) {
                Some((_, names)) => names.push(recipe),
                None => sets.push((versions, vec![recipe])),
            }
        }
        let sentence = |(versions, names): (&str, Vec<&str>)| {
            format!("On {versions} by: {}.", names.join(", "))
        };
        sets.into_iter().map(sentence).collect()
    }
}

#[cfg(test)]
mod tests {
    use qmp_events::EventKind;

    use super::*;

    #[test]
    fn every_event_is_seen_or_has_a_reason() {
        for kind in EventKind::ALL {
            let seen = seen(kind.name());
            assert_ne!(seen, Seen::By(Vec::new()), "{}", kind.name());
            assert!(!seen.sentences().is_empty());
        }
        assert!(matches!(seen("STOP"), Seen::By(_)));
        assert_eq!(
            seen("CPU_POLARIZATION_CHANGE"),
            Seen::Not("s390x only, under KVM")
        );
    }

    #[test]
    fn recipes_of_the_same_versions_share_a_sentence() {
        let seen = Seen::By(vec![
            ("A", "7.2, 10.0"),
            ("B.x", "10.0"),
            ("C", "7.2, 10.0"),
        ]);
        assert_eq!(
            seen.sentences(),
            ["On 7.2, 10.0 by: A, C.", "On 10.0 by: B.x."]
        );
    }
}

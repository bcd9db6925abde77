//! What skills keep: every skill's values in memory, read once at the start, and written behind within a second. An answer
//! never waits for a disk.
//!
//! Bounded by each skill's quota, which its grant says. Two documents of a skill never share a key with another's: the
//! skill's name, which holds no slash, comes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::capability::kv::{Kv, number};
use crate::capability::{Code, Error};
use crate::id::SkillName;
use crate::store::{Collection, Store};

/// What skills keep.
pub(super) struct Kept {
    store: Store,
    skills: Mutex<HashMap<SkillName, Arc<Mutex<Values>>>>,
    /// Why nothing can be kept: what cannot be read must not be overwritten.
    trouble: Option<String>,
}

/// What one skill keeps.
#[derive(Default)]
struct Values {
    values: BTreeMap<String, Vec<u8>>,
    /// Bytes of keys and values.
    bytes: usize,
}

const KV: Collection = Collection::new("kv");

// === impl Kept ===

impl Kept {
    /// Reads what was kept; waits for the disk.
    pub(super) fn new(store: Store) -> Self {
        let (all, trouble) = match store.all::<Vec<u8>>(KV) {
            Ok(all) => (all, None),
            Err(error) => {
                tracing::error!("what skills keep cannot be read: {error}");
                (Vec::new(), Some(error.to_string()))
            }
        };
        let mut skills: HashMap<SkillName, Values> = HashMap::new();
        for (key, value) in all {
            if let Some((skill, key)) = key.split_once('/') {
                skills.entry(SkillName::new(skill)).or_default().insert(key, value);
            }
        }
        let skills = skills.into_iter().map(|(skill, values)| (skill, Arc::new(Mutex::new(values))));
        Self { store, skills: Mutex::new(skills.collect()), trouble }
    }

    fn with<T>(
        &self,
        skill: &SkillName,
        what: impl FnOnce(&mut Values) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(trouble) = &self.trouble {
            return Err(Error::new(Code::Unavailable, format!("what was kept cannot be read: {trouble}")));
        }
        let values = {
            let mut skills = self.skills.lock().unwrap_or_else(PoisonError::into_inner);
            skills.entry(skill.clone()).or_default().clone()
        };
        what(&mut values.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a value in the place of the old one, if all of them fit.
    fn put(
        &self,
        skill: &SkillName,
        values: &mut Values,
        (key, value): (&str, Vec<u8>),
        quota: usize,
    ) -> Result<(), Error> {
        let before = values.values.get(key).map_or(0, |before| key.len() + before.len());
        if values.bytes - before + key.len() + value.len() > quota {
            let message = format!("{skill} may keep {quota} bytes; `kv=SIZE` grants more");
            return Err(Error::new(Code::Limit, message));
        }
        self.store.put(KV, &document(skill, key), &value);
        values.insert(key, value);
        Ok(())
    }
}

// === impl Values ===

impl Values {
    fn insert(&mut self, key: &str, value: Vec<u8>) {
        self.remove(key);
        self.bytes += key.len() + value.len();
        self.values.insert(key.to_owned(), value);
    }

    fn remove(&mut self, key: &str) -> bool {
        let gone = self.values.remove(key);
        self.bytes -= gone.as_ref().map_or(0, |value| key.len() + value.len());
        gone.is_some()
    }
}

impl Kv for Kept {
    fn get(&self, skill: &SkillName, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.with(skill, |values| Ok(values.values.get(key).cloned()))
    }

    fn set(&self, skill: &SkillName, key: &str, value: Option<&[u8]>, quota: usize) -> Result<(), Error> {
        self.with(skill, |values| match value {
            Some(value) => self.put(skill, values, (key, value.to_vec()), quota),
            None => {
                if values.remove(key) {
                    self.store.remove(KV, &document(skill, key));
                }
                Ok(())
            }
        })
    }

    fn keys(&self, skill: &SkillName, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        self.with(skill, |values| {
            let from = values.values.range(prefix.to_owned()..).map(|(key, _)| key);
            Ok(from.take_while(|key| key.starts_with(prefix)).take(most).cloned().collect())
        })
    }

    fn increment(&self, skill: &SkillName, key: &str, by: f64, quota: usize) -> Result<f64, Error> {
        self.with(skill, |values| {
            let before = match values.values.get(key) {
                None => 0.0,
                Some(value) => number(value).ok_or_else(|| {
                    Error::new(Code::Invalid, format!("the value of {key:?} is not a number"))
                })?,
            };
            let sum = before + by;
            self.put(skill, values, (key, sum.to_string().into_bytes()), quota)?;
            Ok(sum)
        })
    }
}

fn document(skill: &SkillName, key: &str) -> String {
    format!("{skill}/{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_a_skills_own_and_outlive_it() {
        let store = Store::in_memory().unwrap();
        let (one, other) = (SkillName::new("one"), SkillName::new("other"));
        let kept = Kept::new(store.clone());
        kept.set(&one, "a/b", Some(b"1"), 100).unwrap();
        kept.set(&one, "a/c", Some(b"2"), 100).unwrap();
        kept.set(&other, "a/b", Some(b"3"), 100).unwrap();
        assert_eq!(kept.get(&one, "a/b").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(kept.keys(&one, "a/", 10).unwrap(), ["a/b", "a/c"]);
        assert_eq!(kept.keys(&one, "a/", 1).unwrap(), ["a/b"]);
        kept.set(&one, "a/b", None, 100).unwrap();
        // Another life, with what was written behind.
        let kept = Kept::new(store);
        assert_eq!(kept.keys(&one, "", 10).unwrap(), ["a/c"]);
        assert_eq!(kept.get(&other, "a/b").unwrap().as_deref(), Some(&b"3"[..]));
    }

    #[test]
    fn a_quota_holds_for_keys_and_values_together() {
        let kept = Kept::new(Store::in_memory().unwrap());
        let skill = SkillName::new("one");
        kept.set(&skill, "k", Some(&[0; 9]), 10).unwrap();
        kept.set(&skill, "k", Some(&[1; 9]), 10).unwrap();
        let error = kept.set(&skill, "l", Some(&[]), 10).unwrap_err();
        assert_eq!(error.code, Code::Limit);
        assert_eq!(kept.get(&skill, "l").unwrap(), None);
        kept.set(&skill, "k", None, 10).unwrap();
        kept.set(&skill, "l", Some(&[0; 9]), 10).unwrap();
    }

    #[test]
    fn numbers_are_added_to() {
        let kept = Kept::new(Store::in_memory().unwrap());
        let skill = SkillName::new("one");
        assert_eq!(kept.increment(&skill, "n", 1.5, 100).unwrap(), 1.5);
        assert_eq!(kept.increment(&skill, "n", -0.5, 100).unwrap(), 1.0);
        assert_eq!(kept.get(&skill, "n").unwrap().as_deref(), Some(&b"1"[..]));
        kept.set(&skill, "n", Some(b"seven"), 100).unwrap();
        assert_eq!(kept.increment(&skill, "n", 1.0, 100).unwrap_err().code, Code::Invalid);
    }
}

//! Capabilities without effect, over the real ones: for a skill that is tried beside those that serve. It reads what they
//! read, and what it writes is its own and gone with it. It wishes, sends and picks nothing.
//!
//! What it asks of models is asked: an answer changes nothing but the time it takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::http::{self, Http};
use super::inference::{Ask, Completion, Inference};
use super::kv::Kv;
use super::residency::{Residency, Standing, Wish};
use super::sessions::Sessions;
use super::{Code, Delegates, Error};
use crate::id::{SessionKey, SkillName};

/// What was written over what is kept: values, and none where one was removed.
struct Overlay {
    beneath: Arc<dyn Kv>,
    written: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
}

/// Takes wishes, and does nothing.
struct Unmoved;

/// Says what was picked, and picks nothing.
struct Unpicked(Arc<dyn Sessions>);

/// Asks nobody.
struct Unasked;

/// Sends nothing.
struct Unsent;

// === impl Delegates ===

impl Delegates {
    /// The same for one skill that is tried: nothing that it does has an effect outside of it. Models are really asked.
    #[must_use]
    pub fn without_effect(&self) -> Self {
        // Each is named: what is added must say what it does in a trial.
        let Self { models, residency: _, sessions, inference, kv, http: _, activity } = self.clone();
        Self {
            models,
            residency: Arc::new(Unmoved),
            sessions: Arc::new(Unpicked(sessions)),
            inference,
            kv: Arc::new(Overlay { beneath: kv, written: Mutex::default() }),
            http: Arc::new(Unsent),
            activity,
        }
    }

    /// The same, and no model is asked either: a thousand turns would be many questions.
    #[must_use]
    pub fn without_answers(self) -> Self {
        Self { inference: Arc::new(Unasked), ..self }
    }
}

// === impl Overlay ===

impl Overlay {
    /// The value as the skill sees it.
    fn seen(
        &self,
        written: &BTreeMap<String, Option<Vec<u8>>>,
        skill: &SkillName,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        written.get(key).cloned().map_or_else(|| self.beneath.get(skill, key), Ok)
    }

    /// What is kept beneath counts on its own: the quota here is for what is written over it.
    fn put(
        written: &mut BTreeMap<String, Option<Vec<u8>>>,
        key: &str,
        value: Option<Vec<u8>>,
        quota: usize,
    ) -> Result<(), Error> {
        let size = |(key, value): (&str, Option<&Vec<u8>>)| key.len() + value.map_or(0, Vec::len);
        let others = written.iter().filter(|(other, _)| *other != key);
        let others: usize = others.map(|(key, value)| size((key, value.as_ref()))).sum();
        if value.is_some() && others + size((key, value.as_ref())) > quota {
            return Err(Error::new(Code::Limit, format!("a skill that is tried may write {quota} bytes")));
        }
        written.insert(key.to_owned(), value);
        Ok(())
    }
}

impl Kv for Overlay {
    fn get(&self, skill: &SkillName, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        self.seen(&written, skill, key)
    }

    fn set(&self, skill: &SkillName, key: &str, value: Option<&[u8]>, quota: usize) -> Result<(), Error> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // What is not kept beneath needs no mark that it is gone: marks are no more than there are values.
        if value.is_none() && self.beneath.get(skill, key)?.is_none() {
            written.remove(key);
            return Ok(());
        }
        Self::put(&mut written, key, value.map(<[u8]>::to_vec), quota)
    }

    fn keys(&self, skill: &SkillName, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let beneath = self.beneath.keys(skill, prefix, most.saturating_add(written.len()))?;
        let mut keys: Vec<String> = beneath.into_iter().filter(|key| !written.contains_key(key)).collect();
        let over = written.iter().filter(|(key, value)| key.starts_with(prefix) && value.is_some());
        keys.extend(over.map(|(key, _)| key.clone()));
        keys.sort();
        keys.truncate(most);
        Ok(keys)
    }

    fn increment(&self, skill: &SkillName, key: &str, by: f64, quota: usize) -> Result<f64, Error> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match self.seen(&written, skill, key)? {
            None => 0.0,
            Some(value) => super::kv::number(&value)
                .ok_or_else(|| Error::new(Code::Invalid, format!("the value of {key:?} is not a number")))?,
        };
        let sum = before + by;
        Self::put(&mut written, key, Some(sum.to_string().into_bytes()), quota)?;
        Ok(sum)
    }
}

impl Residency for Unmoved {
    fn wish(&self, _: Wish) -> BoxFuture<'static, Result<Standing, Error>> {
        Box::pin(std::future::ready(Ok(Standing::Queued)))
    }
}

impl Sessions for Unpicked {
    fn model(&self, session: &SessionKey) -> Option<String> {
        self.0.model(session)
    }

    fn set_model(&self, _: &SessionKey, _: Option<&str>) -> Result<(), Error> {
        Ok(())
    }
}

impl Inference for Unasked {
    fn embed(&self, _: Ask, _: Vec<String>) -> BoxFuture<'static, Result<Vec<Vec<f32>>, Error>> {
        Box::pin(std::future::ready(unasked()))
    }

    fn complete(&self, _: Ask, _: Completion) -> BoxFuture<'static, Result<String, Error>> {
        Box::pin(std::future::ready(unasked()))
    }
}

fn unasked<T>() -> Result<T, Error> {
    Err(Error::new(Code::Unavailable, "no model is asked about a recorded turn"))
}

impl Http for Unsent {
    fn send(&self, _: http::Request) -> BoxFuture<'static, Result<http::Response, Error>> {
        let message = "a skill that is tried sends nothing";
        Box::pin(std::future::ready(Err(Error::new(Code::Unavailable, message))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps one value under one key.
    struct One;

    impl Kv for One {
        fn get(&self, _: &SkillName, key: &str) -> Result<Option<Vec<u8>>, Error> {
            Ok((key == "a").then(|| b"1".to_vec()))
        }

        fn set(&self, _: &SkillName, _: &str, _: Option<&[u8]>, _: usize) -> Result<(), Error> {
            panic!("what is kept was written");
        }

        fn keys(&self, _: &SkillName, prefix: &str, _: usize) -> Result<Vec<String>, Error> {
            Ok(["a"].iter().filter(|key| key.starts_with(prefix)).map(|key| (*key).to_owned()).collect())
        }

        fn increment(&self, _: &SkillName, _: &str, _: f64, _: usize) -> Result<f64, Error> {
            panic!("what is kept was written");
        }
    }

    #[tokio::test]
    async fn what_is_written_covers_what_is_kept_and_reaches_it_never() {
        let delegates = Delegates { kv: Arc::new(One), ..Delegates::nowhere() }.without_effect();
        let (kv, skill) = (delegates.kv, SkillName::new("x"));
        assert_eq!(kv.get(&skill, "a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(kv.increment(&skill, "a", 1.5, 100).unwrap(), 2.5);
        assert_eq!(kv.get(&skill, "a").unwrap().as_deref(), Some(&b"2.5"[..]));
        kv.set(&skill, "b", Some(b"x"), 100).unwrap();
        assert_eq!(kv.keys(&skill, "", 10).unwrap(), ["a", "b"]);
        kv.set(&skill, "a", None, 100).unwrap();
        assert_eq!(kv.get(&skill, "a").unwrap(), None);
        assert_eq!(kv.keys(&skill, "", 10).unwrap(), ["b"]);
        assert_eq!(kv.set(&skill, "c", Some(&[0; 200]), 100).unwrap_err().code, Code::Limit);
        kv.set(&skill, "b", None, 100).unwrap();
        // Removing what never was leaves nothing.
        (0..1000).for_each(|key| kv.set(&skill, &format!("never {key}"), None, 100).unwrap());
        assert_eq!(kv.increment(&skill, "d", f64::from(1), 100).unwrap(), 1.0);
    }

    #[tokio::test]
    async fn nothing_is_wished_sent_or_picked() {
        let (delegates, session) = (Delegates::nowhere().without_effect(), SessionKey::new("s"));
        let request = http::Request {
            method: "GET".to_owned(),
            url: "http://localhost".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: std::time::Duration::from_secs(1),
            hosts: Vec::new(),
        };
        assert_eq!(delegates.http.send(request).await.unwrap_err().code, Code::Unavailable);
        delegates.sessions.set_model(&session, Some("m")).unwrap();
        assert_eq!(delegates.sessions.model(&session), None);
    }
}

//! The contract's imports, answered by the host that a test installed: same names, same signatures as the generated ones.

use super::{Embedded, HOST, Wish};
use crate::Error;

/// The error of an interface that the test made fail.
fn granted(interface: &str) -> Result<(), Error> {
    HOST.with_borrow(|host| host.failing.get(interface).cloned()).map_or(Ok(()), Err)
}

pub(crate) mod models {
    use super::{HOST, granted};
    use crate::Model;

    pub(crate) fn all() -> Vec<Model> {
        match granted("models") {
            Ok(()) => HOST.with_borrow(|host| host.models.clone()),
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn find(name: &str) -> Option<Model> {
        granted("models").ok()?;
        let name = name.to_lowercase();
        let matches = |model: &Model| {
            let (id, key) = (model.id.to_lowercase(), model.key.to_lowercase());
            let last = key.rsplit('/').next().unwrap_or(&key).to_owned();
            id == name || key == name || last.starts_with(&name)
        };
        HOST.with_borrow(|host| {
            let found = host.models.iter().filter(|model| matches(model));
            found.min_by_key(|model| (model.instances.is_empty(), model.size_mib)).cloned()
        })
    }
}

pub(crate) mod residency {
    use super::{HOST, Wish, granted};
    use crate::Error;
    use crate::bindings::contract::residency::{LoadOptions, Standing};

    pub(crate) fn load(model: &str, _options: &LoadOptions) -> Result<Standing, Error> {
        wish(model, Wish::Load(model.to_owned()), true)
    }

    pub(crate) fn unload(model: &str) -> Result<Standing, Error> {
        wish(model, Wish::Unload(model.to_owned()), false)
    }

    fn wish(model: &str, wish: Wish, resident: bool) -> Result<Standing, Error> {
        granted("residency")?;
        let known = super::models::find(model)
            .ok_or_else(|| Error::new("not-found", format!("no model `{model}`")))?;
        HOST.with_borrow_mut(|host| host.wishes.push(wish));
        Ok(if known.instances.is_empty() == resident { Standing::Started } else { Standing::Done })
    }
}

pub(crate) mod sessions {
    use super::{HOST, granted};
    use crate::Error;

    pub(crate) fn model(session: &str) -> Option<String> {
        granted("sessions").ok()?;
        HOST.with_borrow(|host| host.sessions.get(session).cloned())
    }

    pub(crate) fn set_model(session: &str, model: Option<&str>) -> Result<(), Error> {
        granted("sessions")?;
        HOST.with_borrow_mut(|host| match model {
            Some(model) => host.sessions.insert(session.to_owned(), model.to_owned()),
            None => host.sessions.remove(session),
        });
        Ok(())
    }
}

pub(crate) mod conversation {
    use super::{HOST, granted};
    use crate::Error;
    use crate::bindings::contract::conversation::Message;

    pub(crate) fn messages(_request_id: &str, offset: u32, limit: u32) -> Result<Vec<Message>, Error> {
        granted("conversation")?;
        let window = |messages: &[Message]| {
            messages.iter().skip(offset as usize).take(limit as usize).cloned().collect()
        };
        Ok(HOST.with_borrow(|host| window(&host.messages)))
    }

    pub(crate) fn body(_request_id: &str) -> Result<String, Error> {
        granted("conversation")?;
        Err(Error::new("unavailable", "the fake host keeps no bodies"))
    }
}

pub(crate) mod inference {
    use super::{Embedded, HOST, granted};
    use crate::Error;

    pub(crate) fn embed(model: &str, inputs: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let asked = Embedded { model: model.to_owned(), inputs: inputs.to_vec() };
        HOST.with_borrow_mut(|host| host.embedded.push(asked));
        granted("inference")?;
        let missing = |text: &String| Error::new("unavailable", format!("no embedding for `{text}`"));
        HOST.with_borrow(|host| {
            inputs
                .iter()
                .map(|text| host.embeddings.get(text).cloned().ok_or_else(|| missing(text)))
                .take(host.vectors_max.unwrap_or(usize::MAX))
                .collect()
        })
    }

    pub(crate) fn complete(
        model: &str,
        _system: &str,
        _user: &str,
        _max_tokens: u32,
    ) -> Result<String, Error> {
        granted("inference")?;
        Err(Error::new("unavailable", format!("the fake host does not run `{model}`")))
    }
}

pub(crate) mod kv {
    use super::{HOST, granted};
    use crate::Error;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        granted("kv")?;
        Ok(HOST.with_borrow(|host| host.kv.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        granted("kv")?;
        HOST.with_borrow_mut(|host| host.kv.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        granted("kv")?;
        HOST.with_borrow_mut(|host| host.kv.remove(key));
        Ok(())
    }

    pub(crate) fn keys(prefix: &str) -> Result<Vec<String>, Error> {
        granted("kv")?;
        Ok(HOST.with_borrow(|host| {
            host.kv.keys().filter(|key| key.starts_with(prefix)).take(1000).cloned().collect()
        }))
    }

    pub(crate) fn increment(key: &str, by: f64) -> Result<f64, Error> {
        let old = get(key)?
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.parse::<f64>().ok());
        let new = old.unwrap_or(0.0) + by;
        set(key, new.to_string().as_bytes())?;
        Ok(new)
    }
}

pub(crate) mod http {
    use super::granted;
    use crate::Error;
    use crate::bindings::contract::http::{Request, Response};

    pub(crate) fn send(request: &Request) -> Result<Response, Error> {
        granted("http")?;
        Err(Error::new("denied", format!("the fake host has no network: {}", request.url)))
    }
}

pub(crate) mod activity {
    use super::{HOST, granted};
    use crate::Error;
    use crate::bindings::contract::activity::SkillInfo;

    pub(crate) fn skills() -> Vec<SkillInfo> {
        match granted("activity") {
            Ok(()) => HOST.with_borrow(|host| host.skills.clone()),
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn explain(session: &str) -> Result<String, Error> {
        granted("activity")?;
        let told = HOST.with_borrow(|host| host.explanations.get(session).cloned());
        told.ok_or_else(|| Error::new("not-found", format!("no session `{session}`")))
    }
}

pub(crate) mod log {
    use super::HOST;
    use crate::bindings::contract::log::Level;

    pub(crate) fn write(level: Level, message: &str) {
        HOST.with_borrow_mut(|host| host.lines.push((level, message.to_owned())));
    }
}

pub(crate) mod clock {
    use super::HOST;

    pub(crate) fn now() -> f64 {
        HOST.with_borrow(|host| host.now_ms)
    }

    pub(crate) fn utc_offset() -> i32 {
        0
    }
}

pub(crate) mod random {
    use super::HOST;

    pub(crate) fn bytes(count: u32) -> Vec<u8> {
        let byte = HOST.with_borrow(|host| host.random);
        vec![byte; count.min(1024) as usize]
    }
}

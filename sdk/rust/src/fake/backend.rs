//! The contract's imports, answered by the host that a test installed: same names, same signatures as the generated ones.

use super::{HOST, Wish};

pub(crate) mod models {
    use super::HOST;
    use crate::Model;

    pub(crate) fn all() -> Vec<Model> {
        HOST.with_borrow(|host| host.models.clone())
    }

    pub(crate) fn find(name: &str) -> Option<Model> {
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
    use super::{HOST, Wish};
    use crate::Error;
    use crate::bindings::contract::residency::{LoadOptions, Standing};

    pub(crate) fn load(model: &str, _options: &LoadOptions) -> Result<Standing, Error> {
        wish(model, Wish::Load(model.to_owned()), true)
    }

    pub(crate) fn unload(model: &str) -> Result<Standing, Error> {
        wish(model, Wish::Unload(model.to_owned()), false)
    }

    fn wish(model: &str, wish: Wish, resident: bool) -> Result<Standing, Error> {
        let known = super::models::find(model)
            .ok_or_else(|| Error::new("not-found", format!("no model `{model}`")))?;
        HOST.with_borrow_mut(|host| host.wishes.push(wish));
        Ok(if known.instances.is_empty() == resident { Standing::Started } else { Standing::Done })
    }
}

pub(crate) mod sessions {
    use super::HOST;
    use crate::Error;

    pub(crate) fn model(session: &str) -> Option<String> {
        HOST.with_borrow(|host| host.sessions.get(session).cloned())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the contract's signature")]
    pub(crate) fn set_model(session: &str, model: Option<&str>) -> Result<(), Error> {
        HOST.with_borrow_mut(|host| match model {
            Some(model) => host.sessions.insert(session.to_owned(), model.to_owned()),
            None => host.sessions.remove(session),
        });
        Ok(())
    }
}

pub(crate) mod conversation {
    use super::HOST;
    use crate::Error;
    use crate::bindings::contract::conversation::Message;

    #[expect(clippy::unnecessary_wraps, reason = "the contract's signature")]
    pub(crate) fn messages(_request_id: &str, offset: u32, limit: u32) -> Result<Vec<Message>, Error> {
        let window = |messages: &[Message]| {
            messages.iter().skip(offset as usize).take(limit as usize).cloned().collect()
        };
        Ok(HOST.with_borrow(|host| window(&host.messages)))
    }

    pub(crate) fn body(_request_id: &str) -> Result<String, Error> {
        Err(Error::new("unavailable", "the fake host keeps no bodies"))
    }
}

pub(crate) mod inference {
    use super::HOST;
    use crate::Error;

    pub(crate) fn embed(_model: &str, inputs: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        let missing = |text: &String| Error::new("unavailable", format!("no embedding for `{text}`"));
        HOST.with_borrow(|host| {
            inputs
                .iter()
                .map(|text| host.embeddings.get(text).cloned().ok_or_else(|| missing(text)))
                .collect()
        })
    }

    pub(crate) fn complete(
        model: &str,
        _system: &str,
        _user: &str,
        _max_tokens: u32,
    ) -> Result<String, Error> {
        Err(Error::new("unavailable", format!("the fake host does not run `{model}`")))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the contract's signatures")]
pub(crate) mod kv {
    use super::HOST;
    use crate::Error;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(HOST.with_borrow(|host| host.kv.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        HOST.with_borrow_mut(|host| host.kv.insert(key.to_owned(), value.to_vec()));
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<(), Error> {
        HOST.with_borrow_mut(|host| host.kv.remove(key));
        Ok(())
    }

    pub(crate) fn keys(prefix: &str) -> Result<Vec<String>, Error> {
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
    use crate::Error;
    use crate::bindings::contract::http::{Request, Response};

    pub(crate) fn send(request: &Request) -> Result<Response, Error> {
        Err(Error::new("denied", format!("the fake host has no network: {}", request.url)))
    }
}

pub(crate) mod activity {
    use crate::Error;
    use crate::bindings::contract::activity::SkillInfo;

    pub(crate) fn skills() -> Vec<SkillInfo> {
        Vec::new()
    }

    pub(crate) fn explain(session: &str) -> Result<String, Error> {
        Err(Error::new("not-found", format!("no session `{session}`")))
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

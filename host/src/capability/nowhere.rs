//! Delegates that lead nowhere: for looking at skills where no gateway runs. Questions are answered as by a gateway without
//! models, and nothing has an effect.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::activity::{Activity, SkillEntry};
use super::http::{self, Http};
use super::inference::{Ask, Completion, Inference};
use super::kv::Kv;
use super::models::Models;
use super::residency::{Residency, Standing, Wish};
use super::sessions::Sessions;
use super::{Code, Delegates, Error};
use crate::id::{SessionKey, SkillName};
use crate::model::Directory;

/// What is behind every capability where there is nothing.
struct Nowhere;

// === impl Delegates ===

impl Delegates {
    /// Delegates that lead nowhere.
    pub fn nowhere() -> Self {
        Self {
            models: Arc::new(Nowhere),
            residency: Arc::new(Nowhere),
            sessions: Arc::new(Nowhere),
            inference: Arc::new(Nowhere),
            kv: Arc::new(Nowhere),
            http: Arc::new(Nowhere),
            activity: Arc::new(Nowhere),
        }
    }
}

fn not_here<T>() -> Result<T, Error> {
    Err(Error::new(Code::Unavailable, "no gateway is running"))
}

fn never<T: Send + 'static>() -> BoxFuture<'static, Result<T, Error>> {
    Box::pin(std::future::ready(not_here()))
}

impl Models for Nowhere {
    fn directory(&self) -> Arc<Directory> {
        Arc::default()
    }
}

impl Residency for Nowhere {
    fn wish(&self, _: Wish) -> BoxFuture<'static, Result<Standing, Error>> {
        never()
    }
}

impl Sessions for Nowhere {
    fn model(&self, _: &SessionKey) -> Option<String> {
        None
    }

    fn set_model(&self, _: &SessionKey, _: Option<&str>) -> Result<(), Error> {
        not_here()
    }
}

impl Inference for Nowhere {
    fn embed(&self, _: Ask, _: Vec<String>) -> BoxFuture<'static, Result<Vec<Vec<f32>>, Error>> {
        never()
    }

    fn complete(&self, _: Ask, _: Completion) -> BoxFuture<'static, Result<String, Error>> {
        never()
    }
}

impl Kv for Nowhere {
    fn get(&self, _: &SkillName, _: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn set(&self, _: &SkillName, _: &str, _: Option<&[u8]>, _: usize) -> Result<(), Error> {
        not_here()
    }

    fn keys(&self, _: &SkillName, _: &str, _: usize) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    fn increment(&self, _: &SkillName, _: &str, _: f64, _: usize) -> Result<f64, Error> {
        not_here()
    }
}

impl Http for Nowhere {
    fn send(&self, _: http::Request) -> BoxFuture<'static, Result<http::Response, Error>> {
        never()
    }
}

impl Activity for Nowhere {
    fn skills(&self) -> Vec<SkillEntry> {
        Vec::new()
    }

    fn explain(&self, _: &SessionKey) -> Option<String> {
        None
    }
}

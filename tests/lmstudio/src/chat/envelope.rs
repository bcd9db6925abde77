//! What every chunk and every whole answer repeats: ids, the time, the name of what served.
//!
//! Ids look random and are the same in every run that does the same things in the same order.

use std::sync::Arc;

use super::Shape;
use crate::fault::Kind;
use crate::inference::Work;

/// What is the same in every part of an answer.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) created: u64,
    /// The instance that served, or what a fault names instead.
    pub(super) model: Arc<str>,
    /// Tool calls' ids begin here; none where a fault empties them.
    pub(super) first_call_id: Option<u64>,
}

// === impl Envelope ===

impl Envelope {
    pub(super) fn new(work: &Work, shape: Shape) -> Self {
        let fault = work.fault.as_ref().map(|met| &met.kind);
        let model = match fault {
            Some(Kind::WrongModel { model }) => Arc::from(model.as_str()),
            _ => work.handle.id.clone(),
        };
        let number = work.exchange.number;
        let prefix = match shape {
            Shape::Chat => "chatcmpl-",
            Shape::Text => "cmpl-",
        };
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            id: format!("{prefix}{}", letters(number)),
            created: since_epoch.map_or(0, |it| it.as_secs()),
            model,
            first_call_id: (fault != Some(&Kind::EmptyToolCallId)).then(|| scrambled(number)),
        }
    }

    /// Nine digits, different for every call.
    pub(super) fn call_id(&self, index: usize) -> String {
        let index = u64::try_from(index).unwrap_or_default();
        self.first_call_id
            .map_or_else(String::new, |first| format!("{:09}", first.wrapping_add(index) % 1_000_000_000))
    }
}

/// 21 letters and digits, others for every number.
fn letters(number: u64) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = String::with_capacity(21);
    let mut seed = scrambled(number);
    for _ in 0..21 {
        seed = scrambled(seed);
        let letter = usize::try_from(seed % 36).ok().and_then(|place| LETTERS.get(place));
        id.push(char::from(letter.copied().unwrap_or(b'a')));
    }
    id
}

/// Another number for every number, the same every time.
pub(crate) fn scrambled(number: u64) -> u64 {
    let mut it = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

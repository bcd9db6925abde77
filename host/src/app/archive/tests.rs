//! Turns are kept as they were seen, and no more of them than there is room for.

use super::*;
use crate::capability::bindings::types;
use crate::id::{InstanceId, ModelId};
use crate::model::{Costs, Instance, InstanceState, Kind, Model};

fn directory(load_seconds: Option<f32>, in_flight: u32) -> Directory {
    let instance = Instance {
        id: InstanceId::new("otter"),
        state: InstanceState::Ready,
        context_length: Some(8192),
        in_flight,
        queued: 2 * in_flight,
    };
    let model = Model {
        id: ModelId::of("lmstudio", "otter"),
        display_name: "Otter".to_owned(),
        kind: Kind::Language,
        vision: true,
        tool_use: false,
        reasoning: false,
        local: true,
        max_context: None,
        size_bytes: Some(1 << 30),
        instances: vec![instance],
        load_seconds,
        costs: Costs::default(),
    };
    Directory::new(vec![model], vec![("o".to_owned(), "otter".to_owned())])
}

fn turn(number: u64, directory: Directory) -> Recorded {
    let turn = types::Turn {
        request_id: format!("r-{number}"),
        session: "s".to_owned(),
        agent: None,
        client: None,
        protocol: "chat-completions".to_owned(),
        streaming: true,
        requested_model: "auto".to_owned(),
        current_model: "lmstudio/otter".to_owned(),
        pinned: false,
        user_text: "words ".repeat(100),
        user_text_truncated: false,
        last_answer: String::new(),
        media: vec!["image".to_owned()],
        history_media: Vec::new(),
        tools: Vec::new(),
        message_count: 1,
        estimated_tokens: 1,
        max_output_tokens: None,
        extra: Vec::new(),
    };
    Recorded::made(number, turn, directory)
}

fn turns(store: &Store, bounds: Recording) -> Turns {
    Turns::new(store.clone(), bounds)
}

fn numbers(turns: &Turns, since: u64) -> Vec<u64> {
    turns.since(since).iter().map(|name| turns.get(name).unwrap().at_ms).collect()
}

#[test]
fn a_turn_comes_back_as_it_was_also_in_another_life() {
    let store = Store::in_memory().unwrap();
    let first = turns(&store, Recording::default());
    let kept = [turn(1, directory(None, 0)), turn(2, directory(None, 3)), turn(3, directory(Some(1.5), 1))];
    kept.iter().for_each(|turn| first.keep(turn.clone()));
    let second = turns(&store, Recording::default());
    for turns in [&first, &second] {
        let back: Vec<Recorded> = turns.since(0).iter().map(|name| turns.get(name).unwrap()).collect();
        assert_eq!(back, kept);
        assert_eq!(numbers(turns, 2), [2, 3]);
        assert!(numbers(turns, 4).is_empty());
    }
    // Two of them saw the same models, but for how busy they were.
    assert_eq!(store.sizes(DIRECTORIES).unwrap().len(), 2);
}

#[test]
fn the_oldest_goes_where_there_are_too_many() {
    let store = Store::in_memory().unwrap();
    let kept = turns(&store, Recording { turns_max: 2, ..Recording::default() });
    for number in 1..=4 {
        kept.keep(turn(number, directory(Some(number as f32), 0)));
    }
    assert_eq!(numbers(&kept, 0), [3, 4]);
    assert_eq!(store.sizes(TURNS).unwrap().len(), 2);
    // What only turns saw that are gone is gone, too.
    assert_eq!(store.sizes(DIRECTORIES).unwrap().len(), 2);
    // Smaller bounds hold from the next start on.
    assert_eq!(numbers(&turns(&store, Recording { turns_max: 1, ..Recording::default() }), 0), [4]);
}

#[test]
fn bytes_are_bounded_and_come_back() {
    let store = Store::in_memory().unwrap();
    let measured = turns(&store, Recording::default());
    measured.keep(turn(1, directory(None, 0)));
    measured.keep(turn(2, directory(None, 0)));
    // Numbers of two digits are longer.
    let two = measured.index.lock().unwrap().bytes + 8;
    measured.keep(turn(3, directory(Some(1.0), 0)));
    let bounds = Recording { bytes_max: two, ..Recording::default() };
    let kept = turns(&store, bounds);
    assert!(kept.index.lock().unwrap().bytes <= two);
    for number in 4..=20 {
        kept.keep(turn(number, directory(None, 0)));
        assert!(kept.index.lock().unwrap().bytes <= two);
    }
    assert_eq!(numbers(&kept, 0), [19, 20]);
    let sizes = store.sizes(TURNS).unwrap().into_iter().chain(store.sizes(DIRECTORIES).unwrap());
    assert_eq!(sizes.map(|(_, bytes)| bytes).sum::<usize>(), kept.index.lock().unwrap().bytes);
}

#[test]
fn switched_off_it_keeps_nothing_and_removes_what_was_kept() {
    let store = Store::in_memory().unwrap();
    let kept = turns(&store, Recording::default());
    kept.keep(turn(1, directory(None, 0)));
    kept.bound(Recording { is_on: false, ..Recording::default() });
    assert!(!kept.is_on() && kept.since(0).is_empty());
    assert!(store.sizes(TURNS).unwrap().is_empty());
    kept.bound(Recording::default());
    kept.keep(turn(2, directory(None, 0)));
    assert_eq!(numbers(&kept, 0), [2]);
    let off = turns(&store, Recording { is_on: false, ..Recording::default() });
    assert!(!off.is_on());
    assert_eq!(store.sizes(TURNS).unwrap(), []);
    assert_eq!(store.sizes(DIRECTORIES).unwrap(), []);
}

#[test]
fn a_kept_body_is_a_conversation_again() {
    let kept = turns(&Store::in_memory().unwrap(), Recording::default());
    let body = r#"{"model":"auto","messages":[{"role":"user","content":"hello"}]}"#;
    let messages = kept.conversation(body).unwrap().messages(0, 10);
    assert_eq!(messages.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(), ["hello"]);
    assert!(kept.conversation("{").is_none());
}

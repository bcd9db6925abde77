//! The store as its callers see it. What a test must see on disk it asks SQLite for, past the store.

mod kill;
mod trouble;

use std::time::Duration;

use serde::Deserialize;

use super::*;

const PEOPLE: Collection = Collection::new("people");
const PLACES: Collection = Collection::new("places");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Person {
    name: String,
    age: u8,
}

fn person(name: &str, age: u8) -> Person {
    Person { name: name.to_owned(), age }
}

/// Nothing is written before somebody waits for it.
fn patient() -> Limits {
    let hour = Duration::from_secs(3_600);
    Limits { linger: hour, retry: hour, ..Limits::default() }
}

/// How many documents are on disk.
fn on_disk(folder: &Path) -> u32 {
    let connection = rusqlite::Connection::open(folder.join(STATE_FILE)).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.query_row("SELECT count(*) FROM document", [], |row| row.get(0)).unwrap()
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn documents_come_back_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.put(PEOPLE, "b", &person("Berta", 40));
    store.put(PEOPLE, "a", &person("Anton", 50));
    store.put(PEOPLE, "gone", &person("Gustav", 60));
    store.put(PLACES, "a", "Aachen");
    store.remove(PEOPLE, "gone");
    store.put(PEOPLE, "a", &person("Anton", 51));
    let other_handle = store.clone();
    drop(store);
    drop(other_handle);

    let store = Store::open(folder.path()).unwrap();
    let all = [("a".to_owned(), person("Anton", 51)), ("b".to_owned(), person("Berta", 40))];
    assert_eq!(store.all::<Person>(PEOPLE).unwrap(), all);
    assert_eq!(store.get::<Person>(PEOPLE, "b").unwrap(), Some(person("Berta", 40)));
    assert_eq!(store.get::<Person>(PEOPLE, "gone").unwrap(), None);
    assert_eq!(store.get::<String>(PLACES, "a").unwrap().as_deref(), Some("Aachen"));
    assert_eq!(store.all::<String>(Collection::new("none")).unwrap(), []);
}

#[tokio::test]
async fn what_waits_is_read_over_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_within(folder.path(), patient()).unwrap();
    store.put(PLACES, "a", "Aachen");
    store.put(PLACES, "b", "Berlin");
    store.put_synced(PLACES, "c", "Celle").await.unwrap();
    store.put(PLACES, "a", "Ansbach");
    store.remove(PLACES, "b");
    store.put(PLACES, "d", "Dresden");
    assert_eq!(on_disk(folder.path()), 3);
    assert_eq!(store.get::<String>(PLACES, "a").unwrap().as_deref(), Some("Ansbach"));
    assert_eq!(store.get::<String>(PLACES, "b").unwrap(), None);
    let all: Vec<_> = store.all::<String>(PLACES).unwrap().into_iter().map(|(_, place)| place).collect();
    assert_eq!(all, ["Ansbach", "Celle", "Dresden"]);
    store.flush().await.unwrap();
    let after: Vec<_> = store.all::<String>(PLACES).unwrap().into_iter().map(|(_, place)| place).collect();
    assert_eq!(after, all);
}

#[tokio::test]
async fn a_synced_put_brings_all_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_within(folder.path(), patient()).unwrap();
    for key in 0..100 {
        store.put(PLACES, &key.to_string(), &key);
    }
    assert_eq!(on_disk(folder.path()), 0);
    let (first, second) = (store.put_synced(PLACES, "first", "x"), store.put_synced(PLACES, "second", "y"));
    second.await.unwrap();
    assert_eq!(on_disk(folder.path()), 102);
    first.await.unwrap();
    // With nothing to write there is nothing to wait for.
    store.flush().await.unwrap();
}

#[test]
fn puts_are_written_by_time_and_by_number() {
    let by_time = Limits { linger: Duration::ZERO, ..patient() };
    let by_number = Limits { batch: 3, ..patient() };
    for limits in [by_time, by_number] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_within(folder.path(), limits).unwrap();
        for key in ["a", "b", "c"] {
            store.put(PLACES, key, key);
        }
        wait_until(|| on_disk(folder.path()) == 3);
    }
    assert!(Limits::default().linger <= Duration::from_secs(1));
    assert_eq!(Limits::default().batch, 256);
}

#[tokio::test]
async fn the_last_handle_writes_what_waits_and_answers_who_waits() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_within(folder.path(), patient()).unwrap();
    store.put(PLACES, "a", "Aachen");
    let commit = store.put_synced(PLACES, "b", "Berlin");
    let unheard = store.flush();
    drop(store);
    assert_eq!(on_disk(folder.path()), 2);
    commit.await.unwrap();
    drop(unheard);
}

#[tokio::test]
async fn a_commit_can_be_awaited_anywhere() {
    fn anywhere<T: Future + Send + 'static>(future: T) -> T {
        future
    }
    let store = Store::in_memory().unwrap();
    let name = "Aachen".to_owned();
    let commit = anywhere(store.put_synced(PLACES, "a", &name));
    drop(name);
    drop(store);
    commit.await.unwrap();
}

#[tokio::test]
async fn documents_that_are_not_what_is_expected_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.put(PEOPLE, "a", &person("Anton", 50));
    store.put(PEOPLE, "b", "no person");
    store.flush().await.unwrap();
    let past = rusqlite::Connection::open(folder.path().join(STATE_FILE)).unwrap();
    past.execute("INSERT INTO document VALUES ('people', 'c', '{\"name\":')", []).unwrap();
    past.execute("INSERT INTO document VALUES ('people', 'd', CAST(x'ff00ff' AS TEXT))", []).unwrap();
    assert_eq!(store.all::<Person>(PEOPLE).unwrap(), [("a".to_owned(), person("Anton", 50))]);
    let error = store.get::<Person>(PEOPLE, "b").unwrap_err();
    assert!(error.to_string().contains("\"b\" of people"), "{error}");
    store.get::<Person>(PEOPLE, "d").unwrap_err();
}

#[tokio::test]
async fn what_is_no_state_is_refused() {
    let store = Store::in_memory().unwrap();
    let content = "x".repeat(DOCUMENT_BYTES_MAX);
    let key = "k".repeat(KEY_BYTES_MAX + 1);
    let no_json = std::collections::BTreeMap::from([(vec![1], 1)]);
    store.put(PLACES, "a", &content);
    let error = store.put_synced(PLACES, "a", &content).await.unwrap_err();
    assert!(
        matches!(error, WriteError::TooBig { document_bytes, .. } if document_bytes > DOCUMENT_BYTES_MAX)
    );
    let error = store.put_synced(PLACES, &key, "").await.unwrap_err();
    assert!(matches!(error, WriteError::TooBig { key_bytes, .. } if key_bytes > KEY_BYTES_MAX));
    let error = store.put_synced(PLACES, "a", &no_json).await.unwrap_err();
    assert!(matches!(error, WriteError::Serialise(_)));
    assert_eq!(store.all::<String>(PLACES).unwrap(), []);
}

#[tokio::test]
async fn a_full_queue_drops_what_nobody_waits_for() {
    let store = Store::in_memory_within(Limits { changes: 2, reserve: 1, ..patient() }).unwrap();
    for (key, value) in [("a", 1), ("b", 1), ("c", 1), ("a", 2)] {
        store.put(PLACES, key, &value);
    }
    let waiting = || store.all::<u8>(PLACES).unwrap();
    assert_eq!(waiting(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    store.put_synced(PLACES, "d", &1).await.unwrap();
    store.put(PLACES, "c", &1);
    assert_eq!(waiting().len(), 4);
}

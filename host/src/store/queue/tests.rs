//! The queue without a thread: what replaces what, what fits, when the writer is due.

use super::*;

const ANY: Collection = Collection::new("any");

fn place(key: &str) -> Place {
    Place::new(ANY, key)
}

fn json(text: &str) -> Change {
    Change::Put(text.into())
}

/// Two changes of ten bytes in all, and one of five above for those who wait.
fn narrow() -> Queue {
    let limits =
        Limits { batch: 2, changes: 2, bytes: 10, reserve: 1, reserve_bytes: 5, ..Limits::default() };
    Queue::new(limits)
}

fn bytes(queue: &Queue) -> (usize, usize) {
    (queue.waiting_bytes, queue.writing_bytes)
}

#[test]
fn a_later_change_takes_the_place_of_an_earlier_one() {
    let mut queue = narrow();
    for text in ["1", "22", "333"] {
        queue.put(place("a"), json(text), Urgency::Soon).unwrap();
    }
    assert_eq!(bytes(&queue), (4, 0));
    assert_eq!(queue.find(&place("a")), Some(json("333")));
    queue.put(place("a"), Change::Remove, Urgency::Soon).unwrap();
    let batch = queue.take();
    assert_eq!(*batch.changes, Changes::from([(place("a"), Change::Remove)]));
    assert!(!batch.is_last);
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let mut queue = narrow();
    queue.put(place("a"), json("1"), Urgency::Soon).unwrap();
    queue.put(place("b"), json("1"), Urgency::Soon).unwrap();
    assert_eq!(queue.put(place("c"), json("1"), Urgency::Soon), Err(Some(FirstDropped)));
    assert_eq!(queue.put(place("c"), json("1"), Urgency::Soon), Err(None));
    // In place of another it needs no room of its own, unless it is bigger than what there is.
    queue.put(place("a"), json("2"), Urgency::Soon).unwrap();
    assert_eq!(queue.put(place("a"), json("12345678"), Urgency::Soon), Err(None));
    assert_eq!(queue.find(&place("a")), Some(json("2")));
    // What is waited for has room above, also for a change and also for bytes.
    queue.put(place("c"), json("12345678"), Urgency::Synced).unwrap();
    assert_eq!(queue.put(place("d"), json("1"), Urgency::Synced), Err(None));
    queue.take();
    // What is being written still takes room: it may come back.
    assert_eq!(queue.put(place("d"), json("1"), Urgency::Soon), Err(None));
    assert_eq!(queue.written(), (Turned::Same, 5));
    queue.put(place("d"), json("1"), Urgency::Soon).unwrap();
    queue.take();
    assert_eq!(queue.written(), (Turned::Same, 0));
    assert_eq!(bytes(&queue), (0, 0));
}

#[test]
fn a_failed_batch_waits_again_behind_what_came_since() {
    let mut queue = narrow();
    queue.put(place("a"), json("1"), Urgency::Soon).unwrap();
    queue.put(place("b"), json("1"), Urgency::Soon).unwrap();
    drop(queue.take());
    assert_eq!(queue.find(&place("b")), Some(json("1")), "still seen while it is written");
    queue.put(place("b"), json("22"), Urgency::Synced).unwrap();
    assert_eq!(queue.of(ANY).into_values().collect::<Vec<_>>(), [json("1"), json("22")]);
    assert_eq!(queue.failed(), Turned::Failing);
    assert_eq!(bytes(&queue), (5, 0));
    let batch = queue.take();
    assert_eq!(*batch.changes, Changes::from([(place("a"), json("1")), (place("b"), json("22"))]));
    drop(batch);
    assert_eq!(queue.failed(), Turned::Same);
    drop(queue.take());
    assert_eq!(queue.written(), (Turned::Well, 0));
    assert!(queue.is_idle());
    assert_eq!(queue.of(ANY), BTreeMap::new());
}

#[test]
fn the_writer_is_due_when_much_waits_or_somebody_does() {
    let mut queue = narrow();
    assert!(queue.is_idle() && !queue.is_due());
    queue.put(place("a"), json("1"), Urgency::Soon).unwrap();
    assert!(!queue.is_idle() && !queue.is_due());
    queue.put(place("b"), json("1"), Urgency::Soon).unwrap();
    assert!(queue.is_due(), "by number");
    queue.take();
    queue.written();
    queue.put(place("a"), json("1234"), Urgency::Soon).unwrap();
    assert!(queue.is_due(), "by bytes");
    drop(queue.take());
    queue.failed();
    assert!(!queue.is_due(), "a failing disk has its time");
    assert_eq!(queue.linger(), queue.limits.retry);
    let answer = queue.wait().unwrap();
    assert!(queue.is_due(), "unless somebody waits");
    assert!(queue.wait().is_none(), "of whom there are not too many");
    drop(answer);
    let _answer = queue.wait().unwrap();
    assert_eq!(queue.take().waiters.len(), 1);
    queue.written();
    assert_eq!(queue.linger(), queue.limits.linger);
    queue.close();
    assert!(queue.is_due() && queue.take().is_last);
}

//! The shelf on a disk: what is kept, what a crash or a stranger leaves, what is swept.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;

use super::lock::{Entry, Terms, Version};
use super::*;
use crate::id::SkillName;

fn shelf() -> (tempfile::TempDir, Shelf) {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(&folder.path().join(SHELF_FOLDER)).unwrap();
    (folder, shelf)
}

fn name() -> SkillName {
    SkillName::new("otter")
}

fn version(digest: Digest, number: &str) -> Version {
    Version {
        digest,
        version: number.to_owned(),
        source: "file".to_owned(),
        installed_ms: 7,
        imports: Vec::new(),
        hooks: Vec::new(),
        signed_by: None,
        quarantined: None,
    }
}

fn install(shelf: &Shelf, component: &[u8], number: &str) -> Digest {
    let digest = shelf.put(component).unwrap();
    shelf.change(|lock| lock.install(&name(), version(digest, number), Terms::default())).unwrap();
    digest
}

fn remove(shelf: &Shelf) -> Option<Entry> {
    shelf.change(|lock| Ok::<_, Infallible>(lock.remove(&name()))).unwrap()
}

#[test]
fn what_is_installed_is_there_after_a_restart() {
    let (folder, shelf) = shelf();
    assert_eq!(shelf.lock().unwrap(), Lock::default());
    let digest = install(&shelf, b"one", "1.0.0");
    assert_eq!(shelf.put(b"one").unwrap(), digest, "the same component is the same file");
    let again = Shelf::open(&folder.path().join(SHELF_FOLDER)).unwrap();
    let lock = again.lock().unwrap();
    assert_eq!(lock.entry(&name()).unwrap().active, Some(digest));
    assert_eq!(again.get(&digest).unwrap(), b"one");
    assert!(again.compiled().is_usable());
}

#[test]
fn a_change_that_fails_or_changes_nothing_writes_nothing() {
    let (_folder, shelf) = shelf();
    install(&shelf, b"one", "2.0.0");
    let path = shelf.lock_path();
    let written = fs::read_to_string(&path).unwrap();
    let refused = shelf.change(|lock| {
        lock.set_enabled(&name(), false);
        lock.install(&name(), version(Digest::of(b"two"), "1.0.0"), Terms::default())
    });
    assert!(refused.unwrap_err().to_string().starts_with("version 1.0.0 is older than 2.0.0"));
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    // A comment is lost by writing: it shows whether something was written.
    fs::write(&path, format!("{written}# mine\n")).unwrap();
    assert!(!shelf.change(|lock| Ok::<_, Infallible>(lock.set_enabled(&name(), true))).unwrap());
    assert!(fs::read_to_string(&path).unwrap().ends_with("# mine\n"));
    assert!(shelf.change(|lock| Ok::<_, Infallible>(lock.set_enabled(&name(), false))).unwrap());
    assert!(!fs::read_to_string(&path).unwrap().contains("# mine"));
    let long = shelf.change(|lock| {
        let source = "x".repeat(LOCK_BYTES_MAX as usize);
        let version = Version { source, ..version(Digest::of(b"two"), "3.0.0") };
        lock.install(&name(), version, Terms::default())
    });
    assert!(matches!(long, Err(ChangeError::Full)));
    assert_eq!(shelf.lock().unwrap().entry(&name()).unwrap().versions.len(), 1);
}

#[test]
fn a_damaged_lock_is_put_aside_and_its_components_stay() {
    let (_folder, shelf) = shelf();
    let digest = install(&shelf, b"one", "1.0.0");
    let good = fs::read(shelf.lock_path()).unwrap();
    let huge = vec![b'#'; LOCK_BYTES_MAX as usize + 1];
    for (number, damaged) in
        [b"version = 7".as_slice(), b"\xff", &good[..good.len() / 2], &huge].iter().enumerate()
    {
        fs::write(shelf.lock_path(), damaged).unwrap();
        assert_eq!(shelf.lock().unwrap(), Lock::default());
        assert_eq!(shelf.lock().unwrap(), Lock::default(), "put aside once");
        let aside = shelf.folder.join(format!("skills.lock.damaged-{}", number + 1));
        assert_eq!(fs::read(&aside).unwrap(), *damaged);
        assert!(!shelf.lock_path().exists());
    }
    // The next start, whose lock names nothing: but one that did lies beside it.
    let shelf = Shelf::open(&shelf.folder).unwrap();
    shelf.change(|lock| Ok::<_, Infallible>(lock.set_enabled(&name(), false))).unwrap();
    assert_eq!(shelf.sweep().unwrap(), 0);
    assert_eq!(shelf.get(&digest).unwrap(), b"one");
    for path in shelf.aside_paths() {
        let _ = fs::remove_file(path);
    }
    assert_eq!(shelf.sweep().unwrap(), 1);
    assert!(matches!(shelf.get(&digest), Err(GetError::Missing { .. })));
    // The last place is taken again and again.
    for number in 1..=ASIDE_MAX + 1 {
        fs::write(shelf.lock_path(), format!("damaged {number}")).unwrap();
        assert_eq!(shelf.lock().unwrap(), Lock::default());
    }
    let last = shelf.aside_paths().last().unwrap();
    assert_eq!(fs::read_to_string(last).unwrap(), "damaged 10");
}

#[test]
fn a_lock_that_cannot_be_read_is_no_damaged_one() {
    let (_folder, shelf) = shelf();
    fs::create_dir(shelf.lock_path()).unwrap();
    assert!(shelf.lock().unwrap_err().to_string().contains("skills.lock cannot be read: "));
    let changed = shelf.change(|lock| Ok::<_, Infallible>(lock.set_enabled(&name(), false)));
    assert!(matches!(changed, Err(ChangeError::Disk(_))));
    assert!(shelf.sweep().is_err());
    assert!(shelf.lock_path().is_dir());
}

#[test]
fn a_component_that_was_changed_is_not_given_out() {
    let (_folder, shelf) = shelf();
    let digest = install(&shelf, b"one", "1.0.0");
    let path = shelf.component_path(&digest);
    fs::write(&path, b"another").unwrap();
    let error = shelf.get(&digest).unwrap_err();
    assert!(matches!(&error, GetError::Tampered { path: named, .. } if *named == path), "{error}");
    assert!(error.to_string().starts_with(&format!("{} was changed since it was installed", path.display())));
    // Installed again, it is what it was.
    assert_eq!(shelf.put(b"one").unwrap(), digest);
    assert_eq!(shelf.get(&digest).unwrap(), b"one");
    fs::remove_file(&path).unwrap();
    assert!(matches!(shelf.get(&digest), Err(GetError::Missing { .. })));
    // Sparse: it takes no room on the disk.
    fs::File::create(&path).unwrap().set_len(COMPONENT_BYTES_MAX + 10).unwrap();
    assert!(matches!(shelf.get(&digest), Err(GetError::Tampered { .. })));
    let large = vec![0; COMPONENT_BYTES_MAX as usize + 1];
    assert!(matches!(shelf.put(&large), Err(PutError::Large(_))));
}

#[test]
fn what_a_crash_left_is_ignored_and_swept() {
    let (_folder, shelf) = shelf();
    let digest = install(&shelf, b"one", "1.0.0");
    let versions = shelf.folder.join(VERSIONS_FOLDER);
    let left_over =
        [&shelf.folder, &versions, &shelf.folder.join(COMPILED_FOLDER)].map(|it| it.join(".new-aB3dE6"));
    for path in &left_over {
        fs::write(path, b"version = ").unwrap();
    }
    let mine = versions.join("notes.txt");
    fs::write(&mine, b"mine").unwrap();
    assert_eq!(shelf.lock().unwrap().entry(&name()).unwrap().active, Some(digest));
    assert_eq!(shelf.sweep().unwrap(), left_over.len());
    assert!(left_over.iter().all(|path| !path.exists()) && mine.exists());
    assert_eq!(shelf.get(&digest).unwrap(), b"one");
    assert_eq!(shelf.sweep().unwrap(), 0);
}

#[test]
fn a_component_is_swept_when_nothing_names_it() {
    let (_folder, shelf) = shelf();
    let first = install(&shelf, b"one", "1.0.0");
    let second = install(&shelf, b"two", "1.1.0");
    // Somebody is about to name this one.
    let third = shelf.put(b"three").unwrap();
    let is_kept = |shelf: &Shelf| [first, second, third].map(|digest| shelf.get(&digest).is_ok());
    assert_eq!((shelf.sweep().unwrap(), is_kept(&shelf)), (0, [true; 3]));
    assert!(remove(&shelf).is_some());
    assert_eq!((shelf.sweep().unwrap(), is_kept(&shelf)), (2, [false, false, true]));
    // Nobody ever did.
    let shelf = Shelf::open(&shelf.folder).unwrap();
    assert_eq!((shelf.sweep().unwrap(), is_kept(&shelf)), (1, [false; 3]));
}

#[test]
fn changes_do_not_meet() {
    let (_folder, shelf) = shelf();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let shelf = &shelf;
            scope.spawn(move || {
                let name = SkillName::new(format!("skill-{number}"));
                shelf.change(|lock| Ok::<_, Infallible>(lock.set_enabled(&name, false))).unwrap();
                shelf.sweep().unwrap();
            });
        }
    });
    assert_eq!(shelf.lock().unwrap().entries().count(), 8);
}

#[cfg(unix)]
#[test]
fn the_shelf_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, shelf) = shelf();
    let digest = install(&shelf, b"one", "1.0.0");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in [&shelf.folder, &shelf.folder.join(VERSIONS_FOLDER), &shelf.folder.join(COMPILED_FOLDER)] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    for file in [shelf.lock_path(), shelf.component_path(&digest)] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// Every file below a folder, with what is in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            found.insert(path, Vec::new());
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn whoever_looks_changes_nothing() {
    let (folder, shelf) = shelf();
    let digest = install(&shelf, b"one", "1.0.0");
    let key = compiled::CacheKey { component: digest, engine: 7, extra: String::new() };
    let other = compiled::CacheKey { engine: 8, ..key.clone() };
    shelf.compiled().put(&key, b"code");
    shelf.compiled().put(&other, b"other code");
    // What a keeper would mend: code that somebody changed, and what a crash left.
    let folder = folder.path().join(SHELF_FOLDER);
    let changed = fs::read_dir(folder.join(COMPILED_FOLDER)).unwrap().map(|it| it.unwrap().path());
    let changed = changed.filter(|path| fs::read(path).unwrap().ends_with(b"other code")).last().unwrap();
    fs::write(changed, "changed").unwrap();
    fs::write(folder.join(".new-aB3dE6"), "").unwrap();
    let before = files(&folder);

    let looking = Shelf::open_to_look(&folder);
    assert_eq!(looking.lock().unwrap().entry(&name()).unwrap().active, Some(digest));
    assert_eq!(looking.get(&digest).unwrap(), b"one");
    let found = looking.compiled().get(&key).unwrap();
    assert_eq!(fs::read(found).unwrap(), b"code");
    assert_eq!(looking.compiled().get(&other), None);
    looking.compiled().put(&key, b"newer code");
    looking.compiled().remove(&key);
    let changed = looking.change(|lock| Ok::<_, Infallible>(lock.remove(&name())));
    assert!(matches!(changed, Err(ChangeError::Disk(_))));
    assert!(matches!(looking.put(b"two"), Err(PutError::Disk(_))) && looking.sweep().is_err());
    assert_eq!(files(&folder), before);

    // A damaged lock is theirs who keep it, and said.
    fs::write(shelf.lock_path(), "version = 7").unwrap();
    let before = files(&folder);
    let error = looking.lock().unwrap_err().to_string();
    assert!(error.contains("skills.lock cannot be used: it is of version 7"), "{error}");
    assert_eq!(files(&folder), before);
    assert_eq!(shelf.lock().unwrap(), Lock::default(), "the keeper puts it aside");
}

#[test]
fn whoever_looks_where_nothing_is_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let looking = Shelf::open_to_look(&folder.path().join(SHELF_FOLDER));
    assert_eq!(looking.lock().unwrap(), Lock::default());
    assert!(
        !looking.compiled().is_usable()
            && matches!(looking.get(&Digest::of(b"")), Err(GetError::Missing { .. }))
    );
    assert!(looking.put(b"one").is_err());
    assert_eq!(files(folder.path()), BTreeMap::new());
}

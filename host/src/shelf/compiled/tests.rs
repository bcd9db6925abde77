//! What the cache gives back is what was put, or nothing.

use std::time::Duration;

use super::*;

fn key(name: &str) -> CacheKey {
    CacheKey { component: Digest::of(name.as_bytes()), engine: 7, extra: "x".to_owned() }
}

fn path(folder: &Path, key: &CacheKey) -> PathBuf {
    folder.join(key.name()).with_extension(EXTENSION)
}

/// What is there under a key, as its reader finds it.
fn got(cache: &Compiled, key: &CacheKey) -> Option<Vec<u8>> {
    cache.get(key).map(|path| fs::read(path).unwrap())
}

#[test]
fn code_is_found_by_all_that_made_it() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("compiled");
    let cache = Compiled::open(&folder);
    assert!(cache.is_usable());
    let otter = key("otter");
    assert_eq!(got(&cache, &otter), None);
    cache.put(&otter, b"code");
    cache.put(&otter, b"newer code");
    cache.put(&key("empty"), b"");
    let again = Compiled::open(&folder);
    assert_eq!(got(&again, &otter).unwrap(), b"newer code");
    assert_eq!(got(&again, &key("empty")).unwrap(), b"");
    let others = [
        key("owl"),
        CacheKey { engine: 8, ..otter.clone() },
        CacheKey { extra: "y".to_owned(), ..otter.clone() },
        CacheKey { extra: String::new(), ..otter.clone() },
    ];
    for other in others {
        assert_eq!(got(&again, &other), None, "{other:?}");
    }
    again.remove(&otter);
    again.remove(&otter);
    assert_eq!(got(&cache, &otter), None);
}

#[test]
fn what_was_tampered_with_is_removed() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("compiled");
    let cache = Compiled::open(&folder);
    let (otter, owl) = (key("otter"), key("owl"));
    cache.put(&owl, b"owl's code");
    let seal = |key: &CacheKey| path(&folder, key).with_extension(SEAL_EXTENSION);
    let owls = [fs::read(path(&folder, &owl)).unwrap(), fs::read(seal(&owl)).unwrap()];
    type Spoil<'a> = &'a dyn Fn(&mut Vec<u8>, &mut Vec<u8>);
    let cases: [(&str, Spoil<'_>); 8] = [
        ("a bit of the code", &|code, _| code[0] ^= 1),
        ("a bit of the seal", &|_, seal| seal[0] ^= 1),
        ("more", &|code, _| code.push(0)),
        ("less", &|code, _| code.truncate(1)),
        ("a longer seal", &|_, seal| seal.push(0)),
        ("a seal cut off", &|_, seal| seal.truncate(CODE_BYTES - 1)),
        ("nothing", &|code, seal| (code.clear(), seal.clear()).0),
        ("another's, whole", &|code, seal| {
            [&mut *code, &mut *seal].into_iter().zip(&owls).for_each(|(to, from)| from.clone_into(to))
        }),
    ];
    for (case, spoil) in cases {
        cache.put(&otter, b"otter's code");
        let (path, seal) = (path(&folder, &otter), seal(&otter));
        let (mut code, mut sealed) = (fs::read(&path).unwrap(), fs::read(&seal).unwrap());
        spoil(&mut code, &mut sealed);
        fs::write(&path, code).unwrap();
        fs::write(&seal, sealed).unwrap();
        assert_eq!(got(&cache, &otter), None, "{case}");
        assert!(!path.exists() && !seal.exists(), "{case}");
    }
    cache.put(&otter, b"otter's code");
    fs::remove_file(seal(&otter)).unwrap();
    assert_eq!(got(&cache, &otter), None, "without a seal");
    // A file from elsewhere, whole and with a code of its own.
    let elsewhere = above.path().join("elsewhere");
    Compiled::open(&elsewhere).put(&otter, b"foreign code");
    for extension in [EXTENSION, SEAL_EXTENSION] {
        let of = |folder: &Path| path(folder, &otter).with_extension(extension);
        fs::copy(of(&elsewhere), of(&folder)).unwrap();
    }
    assert_eq!(got(&cache, &otter), None);
    assert_eq!(got(&cache, &owl).unwrap(), b"owl's code");
}

#[test]
fn what_is_too_big_is_not_read() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("compiled");
    let cache = Compiled::open(&folder);
    let path = path(&folder, &key("otter"));
    // Sparse: it takes no room on the disk.
    fs::File::create(&path).unwrap().set_len(ENTRY_BYTES_MAX + 1).unwrap();
    assert_eq!(got(&cache, &key("otter")), None);
    assert!(!path.exists());
}

#[test]
fn the_oldest_make_room() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("compiled");
    let entry_bytes = 100;
    let cache = Compiled::open_within(&folder, 3 * entry_bytes);
    let age = |name: &str, days: u64| {
        let file = fs::File::options().write(true).open(path(&folder, &key(name))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    };
    for (name, days) in [("a", 1), ("b", 3), ("c", 2)] {
        cache.put(&key(name), &[0; 100]);
        age(name, days);
    }
    let kept = || ["a", "b", "c", "d"].map(|name| got(&cache, &key(name)).is_some());
    assert_eq!(kept(), [true, true, true, false]);
    cache.put(&key("d"), &[0; 100]);
    assert_eq!(kept(), [true, false, true, true]);
    // Bigger than all: it stays alone, since it is what is needed now.
    cache.put(&key("a"), &[0; 1000]);
    assert_eq!(kept(), [true, false, false, false]);
    assert!(folder.join(KEY_FILE).exists());
}

#[test]
fn a_damaged_key_is_replaced_and_what_it_signed_is_gone() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("compiled");
    Compiled::open(&folder).put(&key("otter"), b"code");
    let damaged = fs::read(folder.join(KEY_FILE)).unwrap();
    fs::write(folder.join(KEY_FILE), &damaged[1..]).unwrap();
    let cache = Compiled::open(&folder);
    assert_eq!(got(&cache, &key("otter")), None);
    cache.put(&key("otter"), b"code");
    assert_eq!(got(&Compiled::open(&folder), &key("otter")).unwrap(), b"code");
    assert_eq!(fs::read(folder.join(KEY_FILE)).unwrap().len(), KEY_BYTES);
}

#[test]
fn what_a_crash_left_is_swept() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("compiled");
    let cache = Compiled::open(&folder);
    cache.put(&key("otter"), b"code");
    fs::write(folder.join(".new-x1y2z3"), b"half").unwrap();
    assert_eq!(cache.sweep().unwrap(), 1);
    assert_eq!(got(&cache, &key("otter")).unwrap(), b"code");
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_get_at_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let above = tempfile::tempdir().unwrap();
    let open_to = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let folder = above.path().join("compiled");
    Compiled::open(&folder).put(&key("otter"), b"code");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(KEY_FILE))), (0o700, 0o600));
    assert_eq!(mode(&path(&folder, &key("otter"))), 0o600);
    for (what, exposed, private) in [(folder.clone(), 0o750, 0o700), (folder.join(KEY_FILE), 0o604, 0o600)] {
        open_to(&what, exposed);
        let cache = Compiled::open(&folder);
        assert!(!cache.is_usable(), "{}", what.display());
        assert_eq!(got(&cache, &key("otter")), None);
        cache.put(&key("owl"), b"code");
        cache.remove(&key("otter"));
        assert_eq!(cache.sweep().unwrap(), 0);
        open_to(&what, private);
        let cache = Compiled::open(&folder);
        assert_eq!((got(&cache, &key("otter")).unwrap(), got(&cache, &key("owl"))), (b"code".to_vec(), None));
    }
    let linked = above.path().join("linked");
    std::os::unix::fs::symlink(&folder, &linked).unwrap();
    assert!(!Compiled::open(&linked).is_usable());
}

/// Files that are known again, and those that must not be. A seal whose code over the content was spoiled tells which: it
/// holds only as long as nobody hashes.
#[cfg(unix)]
mod known {
    use super::identity::SETTLED_AFTER;
    use super::*;

    struct House {
        _above: tempfile::TempDir,
        folder: PathBuf,
        cache: Compiled,
    }

    fn house() -> House {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("compiled");
        let cache = Compiled::open(&folder);
        cache.put(&key("otter"), b"otter's code");
        House { _above: above, folder, cache }
    }

    impl House {
        fn code(&self) -> PathBuf {
            path(&self.folder, &key("otter"))
        }

        fn seal(&self) -> PathBuf {
            self.code().with_extension(SEAL_EXTENSION)
        }

        fn identity(&self) -> Identity {
            Identity::of(&fs::metadata(self.code()).unwrap()).unwrap()
        }

        /// Whether it is found by a start that comes long after.
        fn is_found(&self) -> bool {
            self.cache.get_at(&key("otter"), SystemTime::now() + 2 * SETTLED_AFTER).is_some()
        }

        fn spoil_seal(&self) {
            let mut seal = fs::read(self.seal()).unwrap();
            seal[0] ^= 1;
            fs::write(self.seal(), seal).unwrap();
        }

        /// Makes a house whose code is known, and would not stand a hash.
        fn known() -> Self {
            let house = house();
            assert!(house.is_found());
            house.spoil_seal();
            house
        }
    }

    #[test]
    fn what_was_hashed_once_is_known_at_the_next_start() {
        let house = House::known();
        assert!(house.is_found());
        assert_eq!(Compiled::open(&house.folder).get(&key("otter")), Some(house.code()));
        assert_eq!(Compiled::open_to_look(&house.folder).get(&key("otter")), Some(house.code()));
        // Newer code under the same key has to be hashed first.
        house.cache.put(&key("otter"), b"newer code");
        assert_eq!(fs::read(house.seal()).unwrap().len(), CODE_BYTES);
        house.spoil_seal();
        assert!(!house.is_found());
    }

    #[test]
    fn a_young_file_is_hashed_at_each_start() {
        let house = house();
        let changed = fs::metadata(house.code()).unwrap();
        use std::os::unix::fs::MetadataExt as _;
        let changed = SystemTime::UNIX_EPOCH
            + Duration::new(changed.ctime().unsigned_abs(), u32::try_from(changed.ctime_nsec()).unwrap());
        let tick = Duration::from_nanos(1);
        for now in [SystemTime::UNIX_EPOCH, changed - tick, changed, changed + SETTLED_AFTER - tick] {
            assert!(house.cache.get_at(&key("otter"), now).is_some());
            assert_eq!(fs::read(house.seal()).unwrap().len(), CODE_BYTES, "{now:?}");
        }
        assert!(house.cache.get_at(&key("otter"), changed + SETTLED_AFTER).is_some());
        assert_eq!(fs::read(house.seal()).unwrap().len(), 2 * CODE_BYTES);
    }

    #[test]
    fn whoever_looks_notes_nothing() {
        let house = house();
        let looking = Compiled::open_to_look(&house.folder);
        let before = fs::read(house.seal()).unwrap();
        assert!(looking.get_at(&key("otter"), SystemTime::now() + 2 * SETTLED_AFTER).is_some());
        assert_eq!(fs::read(house.seal()).unwrap(), before);
    }

    #[test]
    fn code_changed_in_place_is_found_whatever_its_date() {
        let house = house();
        assert!(house.is_found());
        let (before, date) = (house.identity(), fs::metadata(house.code()).unwrap().modified().unwrap());
        // The clock of the file system has to tick: that is what a file's rest is for.
        while house.identity() == before {
            fs::write(house.code(), b"wrong  code!").unwrap();
            fs::File::options().write(true).open(house.code()).unwrap().set_modified(date).unwrap();
        }
        assert_eq!(fs::metadata(house.code()).unwrap().modified().unwrap(), date);
        assert!(!house.is_found());
        assert!(!house.code().exists());
    }

    #[test]
    fn a_copy_is_hashed_and_then_known_itself() {
        let house = house();
        assert!(house.is_found());
        let replace = || {
            let copy = house.folder.join("copy");
            fs::copy(house.code(), &copy).unwrap();
            fs::rename(copy, house.code()).unwrap();
        };
        let noted = fs::read(house.seal()).unwrap();
        replace();
        assert!(house.is_found());
        assert_ne!(fs::read(house.seal()).unwrap(), noted, "it is the copy that is known now");
        replace();
        house.spoil_seal();
        assert!(!house.is_found());
    }

    #[test]
    fn an_identity_that_this_gateway_did_not_write_is_not_believed() {
        type Forge<'a> = &'a dyn Fn(&House) -> Vec<u8>;
        let forgeries: [(&str, Forge<'_>); 4] = [
            ("of another key", &|house| {
                let stranger = Opened::with(&house.folder, Access::Keep, &[7; KEY_BYTES], 0);
                stranger.identity_code(&key("otter"), &house.identity()).as_bytes().to_vec()
            }),
            ("of another name", &|house| {
                let cache = house.cache.0.as_ref().unwrap();
                cache.identity_code(&key("owl"), &house.identity()).as_bytes().to_vec()
            }),
            ("a content's code", &|house| fs::read(house.seal()).unwrap()[..CODE_BYTES].to_vec()),
            ("nothing but zeros", &|_| vec![0; CODE_BYTES]),
        ];
        for (case, forge) in forgeries {
            let house = House::known();
            let seal = fs::read(house.seal()).unwrap();
            let forged = [&seal[..CODE_BYTES], &forge(&house)].concat();
            assert_ne!(forged, seal, "{case}");
            fs::write(house.seal(), forged).unwrap();
            assert!(!house.is_found(), "{case}");
        }
    }
}

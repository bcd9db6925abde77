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
        ("a seal cut off", &|_, seal| seal.truncate(SEAL_BYTES - 1)),
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

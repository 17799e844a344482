//! Fetching from a server on this machine that does everything wrong that servers do. Nothing here leaves the machine.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::catalogue::{FILE, Item};
use super::http::{Options, fetch, part_of};
use super::sums::{Sum, sha256};

const NAME: &str = "spikes.bin";

/// What the server was asked, in order: the head of each request.
type Asked = Arc<Mutex<Vec<String>>>;

/// A server that answers its n-th request (from 0) with `answer`, then closes the connection. Its thread ends with the process.
fn serve(answer: impl Fn(usize, &str, &mut TcpStream) + Send + 'static) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{NAME}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let n = seen.lock().unwrap().len();
            seen.lock().unwrap().push(head.clone());
            answer(n, &head, &mut stream);
        }
    });
    (url, asked)
}

/// The value of a header of a request.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Where the client wants the file to start.
fn range(head: &str) -> Option<usize> {
    header(head, "range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// Sends a head and a body; the client may hang up in between.
fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").as_bytes());
    let _ = stream.write_all(body);
}

/// A well-behaved answer to a request for `data` in version `tag`, of which only `most` bytes get through.
fn answer(head: &str, stream: &mut TcpStream, data: &[u8], tag: &str, most: usize) {
    let same = header(head, "if-range").is_none_or(|asked| asked == tag.to_ascii_lowercase());
    let (status, start, place) = match range(head) {
        Some(start) if same && start >= data.len() => {
            return send(stream, "416 Range Not Satisfiable", &format!("Content-Range: bytes */{}\r\n", data.len()), b"");
        }
        Some(start) if same => {
            ("206 Partial Content", start, format!("Content-Range: bytes {start}-{}/{}\r\n", data.len() - 1, data.len()))
        }
        _ => ("200 OK", 0, String::new()),
    };
    let rest = &data[start..];
    let headers = format!("ETag: {tag}\r\nContent-Length: {}\r\n{place}", rest.len());
    send(stream, status, &headers, &rest[..most.min(rest.len())]);
}

/// 200,000 bytes that repeat nowhere: the numbers from 0, four bytes each, times an odd constant.
fn data() -> Vec<u8> {
    (0..50_000u32).flat_map(|i| i.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect()
}

fn item(data: &[u8]) -> Item {
    let hex = sha256(data).unwrap().leak();
    Item { name: NAME, bytes: Some(data.len() as u64), sum: Some(Sum::Sha256(hex)), ..FILE }
}

fn options() -> Options {
    Options { timeout: Duration::from_millis(300), retries: 3, pause: Duration::from_millis(1), unverified: false }
}

/// A folder and the place of the file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("set").join(NAME);
    (dir, path)
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Fetches and holds that the file is right and nothing else is left.
fn good(item: &Item, url: &str, path: &Path, data: &[u8]) {
    fetch(item, &[url.into()], path, &options()).unwrap();
    assert_eq!(fs::read(path).unwrap(), data);
    assert_eq!(names(path), [NAME]);
}

/// Fetches and holds that it fails, that no file is there, and that the message has all of `words`.
fn bad(item: &Item, url: &str, path: &Path, words: &[&str]) {
    let why = fetch(item, &[url.into()], path, &options()).unwrap_err();
    assert!(!path.exists());
    for word in words {
        assert!(why.contains(word), "\"{word}\" is not in: {why}");
    }
}

#[test]
fn a_good_server() {
    let (data, (_dir, path)) = (data(), place());
    let (url, asked) = serve(|_, head, stream| answer(head, stream, &self::data(), "\"1\"", usize::MAX));
    good(&item(&data), &url, &path, &data);
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(range(&asked.lock().unwrap()[0]), None);
}

#[test]
fn md5_and_no_length() {
    // RFC 1321, appendix A.5.
    let (_dir, path) = place();
    let (url, _) = serve(|_, _, stream| send(stream, "200 OK", "", b"abc"));
    let item = Item { name: NAME, sum: Some(Sum::Md5("900150983cd24fb0d6963f7d28e17f72")), ..FILE };
    good(&item, &url, &path, b"abc");
}

#[test]
fn cut_again_and_again() {
    let (data, (_dir, path)) = (data(), place());
    // Cuts at places that look random, 1 to 30,000 bytes from where the answer starts; every fourth time nothing comes at all.
    let (url, asked) = serve(|n, head, stream| {
        if n % 4 != 2 {
            answer(head, stream, &self::data(), "\"1\"", 1 + (n * 7919 + 13) * 1_000_003 % 30_000);
        }
    });
    good(&item(&data), &url, &path, &data);
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 8, "{}", asked.len());
    let starts: Vec<usize> = asked.iter().map(|head| range(head).unwrap_or(0)).collect();
    assert!(starts.is_sorted() && starts[0] == 0 && starts[1] > 0, "{starts:?}");
    assert!(asked[1..].iter().all(|head| header(head, "if-range") == Some("\"1\"")));
}

#[test]
fn a_later_start_goes_on() {
    let (data, (_dir, path)) = (data(), place());
    let broken = Arc::new(AtomicUsize::new(1));
    let switch = broken.clone();
    let (url, asked) = serve(move |n, head, stream| match switch.load(Ordering::SeqCst) {
        1 if n > 0 => {}
        1 => answer(head, stream, &self::data(), "\"1\"", 70_000),
        _ => answer(head, stream, &self::data(), "\"1\"", usize::MAX),
    });
    bad(&item(&data), &url, &path, &["the same command goes on from there", "70000 bytes are kept", "spikes.bin.part"]);
    assert_eq!(fs::read(part_of(&path)).unwrap(), data[..70_000]);
    broken.store(0, Ordering::SeqCst);
    good(&item(&data), &url, &path, &data);
    let last = asked.lock().unwrap().last().unwrap().clone();
    assert_eq!((range(&last), header(&last, "if-range")), (Some(70_000), Some("\"1\"")));
}

#[test]
fn a_whole_part_is_only_compared() {
    let (data, (_dir, path)) = (data(), place());
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(part_of(&path), &data).unwrap();
    let (url, asked) = serve(|_, head, stream| answer(head, stream, &self::data(), "\"1\"", usize::MAX));
    // Where the length is not in the catalogue, the server tells (416).
    let unknown = Item { bytes: None, ..item(&data) };
    good(&unknown, &url, &path, &data);
    assert_eq!(range(&asked.lock().unwrap()[0]), Some(200_000));
    fs::rename(&path, part_of(&path)).unwrap();
    good(&item(&data), &url, &path, &data);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_part_of_something_else_is_dropped() {
    let (data, (_dir, path)) = (data(), place());
    fs::create_dir(path.parent().unwrap()).unwrap();
    let (url, asked) = serve(|_, head, stream| answer(head, stream, &self::data(), "\"1\"", usize::MAX));
    // The sum tells, after the rest was put behind it; a part that is too long, the server.
    for wrong in [vec![7; 1000], vec![7; 200_001]] {
        fs::write(part_of(&path), wrong).unwrap();
        good(&item(&data), &url, &path, &data);
    }
    assert_eq!(asked.lock().unwrap().iter().map(|head| range(head)).collect::<Vec<_>>(), [Some(1000), None, Some(200_001), None]);
}

#[test]
fn ranges_are_ignored() {
    let (data, (_dir, path)) = (data(), place());
    let most = |n| if n < 2 { 50_000 } else { usize::MAX };
    let (url, asked) = serve(move |n, _, stream| answer("", stream, &self::data(), "\"1\"", most(n)));
    good(&item(&data), &url, &path, &data);
    assert_eq!(asked.lock().unwrap().len(), 3);

    // If it never gets through, the client gives up.
    let (_dir, path) = place();
    let (url, asked) = serve(|n, _, stream| answer("", stream, &self::data(), "\"1\"", 50_000 + 1000 * n));
    bad(&item(&data), &url, &path, &["cut off after"]);
    assert!(asked.lock().unwrap().len() < 8);
}

#[test]
fn the_file_changes_meanwhile() {
    let data = data();
    let old = || vec![1; 200_000];
    // The server heeds If-Range, or not and says so in its ETag, or gives no version at all, so that only the sum tells.
    for heeds in [0, 1, 2] {
        let (_dir, path) = place();
        let (url, asked) = serve(move |n, head, stream| {
            let head = if heeds == 0 { head.to_owned() } else { head.replace("if-range", "x") };
            match (n, heeds) {
                (0, 0 | 1) => answer(&head, stream, &old(), "\"old\"", 60_000),
                (0, _) => send(stream, "200 OK", "Content-Length: 200000\r\n", &old()[..60_000]),
                _ => answer(&head, stream, &self::data(), "\"new\"", usize::MAX),
            }
        });
        good(&item(&data), &url, &path, &data);
        assert_eq!(asked.lock().unwrap().len(), if heeds == 0 { 2 } else { 3 });
    }
}

#[test]
fn lengths_are_lies() {
    let data = data();
    let lie = |length: usize, known: bool, words: &[&str]| {
        let (_dir, path) = place();
        let (url, _) = serve(move |_, _, stream| send(stream, "200 OK", &format!("Content-Length: {length}\r\n"), &self::data()));
        let item = Item { bytes: item(&data).bytes.filter(|_| known), ..item(&data) };
        bad(&item, &url, &path, words);
    };
    lie(300_000, true, &["announces 300000 bytes, but the file has 200000"]);
    lie(100_000, true, &["announces 100000 bytes, but the file has 200000"]);
    lie(300_000, false, &["cut off after 200000 bytes of 300000"]);
    lie(100_000, false, &["wrong SHA-256: expected", "found"]);
    // No length at all, and too much.
    let (_dir, path) = place();
    let (url, _) = serve(|_, _, stream| send(stream, "200 OK", "", &[self::data(), vec![0]].concat()));
    bad(&item(&data), &url, &path, &["more than the 200000 bytes"]);
}

#[test]
fn a_web_page() {
    let data = data();
    for (headers, body) in [("Content-Type: text/html; charset=utf-8\r\n", "Please log in"), ("", "\n<!DOCTYPE html><title>Log in</title>")]
    {
        let (_dir, path) = place();
        let (url, asked) = serve(move |_, _, stream| send(stream, "200 OK", headers, body.as_bytes()));
        bad(&Item { bytes: None, ..item(&data) }, &url, &path, &["web page instead of the file", &url]);
        assert_eq!(asked.lock().unwrap().len(), 1);
        assert_eq!(names(&path), [""; 0]);
    }
}

#[test]
fn wrong_bytes() {
    let (data, (_dir, path)) = (data(), place());
    let (url, asked) = serve(|_, head, stream| answer(head, stream, &[vec![9], self::data()[1..].to_vec()].concat(), "\"1\"", usize::MAX));
    let found = sha256(&[&[9], &data[1..]].concat()[..]).unwrap();
    bad(&item(&data), &url, &path, &["wrong SHA-256", item(&data).sum.unwrap().hex(), &found]);
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(names(&path), [""; 0]);
}

#[test]
fn a_damaged_file_stays_until_the_right_one_is_there() {
    let (data, (_dir, path)) = (data(), place());
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "damaged").unwrap();
    let (url, _) = serve(|n, head, stream| answer(head, stream, &self::data(), "\"1\"", if n > 4 { usize::MAX } else { 0 }));
    assert!(fetch(&item(&data), std::slice::from_ref(&url), &path, &options()).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"damaged");
    good(&item(&data), &url, &path, &data);
}

#[test]
fn a_redirect_and_a_loop_of_them() {
    let (data, (_dir, path)) = (data(), place());
    let (url, _) = serve(|n, head, stream| match n {
        0 => send(stream, "302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n", b""),
        _ => {
            assert!(head.starts_with("get /elsewhere "));
            answer(head, stream, &self::data(), "\"1\"", usize::MAX);
        }
    });
    good(&item(&data), &url, &path, &data);

    let (_dir, path) = place();
    let (url, _) = serve(|_, _, stream| send(stream, "301 Moved Permanently", "Location: /spikes.bin\r\nContent-Length: 0\r\n", b""));
    bad(&item(&data), &url, &path, &["redirected in a loop"]);
}

#[test]
fn a_stall() {
    let (data, (_dir, path)) = (data(), place());
    let stalled = |n| n == 0 || n == 2;
    let (url, _) = serve(move |n, head, stream| {
        // Silent before the answer, and in the middle of it.
        answer(head, stream, &self::data(), "\"1\"", if n == 0 || n == 2 { 20_000 * n } else { 90_000 });
        if stalled(n) {
            let mut stream = stream.try_clone().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(2));
                let _ = stream.write_all(b"late");
            });
        }
    });
    let start = Instant::now();
    good(&item(&data), &url, &path, &data);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());

    let (_dir, path) = place();
    let (url, asked) = serve(|_, _, stream| {
        let stream = stream.try_clone().unwrap();
        std::thread::spawn(move || (std::thread::sleep(Duration::from_secs(2)), drop(stream)));
    });
    let start = Instant::now();
    let why = fetch(&item(&data), &[url], &path, &Options { retries: 1, ..options() }).unwrap_err();
    assert!(why.contains("no bytes came in time") && start.elapsed() < Duration::from_millis(1500), "{why}, {:?}", start.elapsed());
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn status_codes() {
    let data = data();
    let (_dir, path) = place();
    let (url, asked) = serve(|_, _, stream| send(stream, "404 Not Found", "Content-Length: 0\r\n", b""));
    bad(&item(&data), &url, &path, &["404 Not Found", &url]);
    assert_eq!(asked.lock().unwrap().len(), 1);
    // A server in trouble is asked again, a second address is tried after the first.
    let (busy, _) = serve(|n, head, stream| match n {
        0 => send(stream, "503 Service Unavailable", "Content-Length: 0\r\n", b""),
        _ => answer(head, stream, &self::data(), "\"1\"", usize::MAX),
    });
    fetch(&item(&data), &[url, busy], &path, &options()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), data);
}

#[test]
fn nobody_answers() {
    let (data, (_dir, path)) = (data(), place());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    bad(&item(&data), &format!("http://127.0.0.1:{port}/x"), &path, &["no answer"]);
    bad(&item(&data), "nonsense", &path, &["nonsense"]);
    assert_eq!(names(&path), [""; 0]);
}

#[test]
fn https_without_tls_is_named() {
    if cfg!(feature = "tls") {
        return;
    }
    let (data, (_dir, path)) = (data(), place());
    let (url, _) = serve(|_, _, stream| {
        let here = stream.local_addr().unwrap();
        send(stream, "302 Found", &format!("Location: https://{here}/x\r\nContent-Length: 0\r\n"), b"");
    });
    bad(&item(&data), &url, &path, &["--features tls"]);
}

#[test]
fn without_a_published_sum() {
    let (data, (_dir, path)) = (data(), place());
    let (url, asked) = serve(|_, head, stream| answer(head, stream, &self::data(), "\"1\"", usize::MAX));
    let item = Item { name: NAME, ..FILE };
    assert!(fetch(&item, std::slice::from_ref(&url), &path, &options()).unwrap_err().contains("--unverified"));
    assert_eq!(asked.lock().unwrap().len(), 0);
    // What is there of unknown origin is not gone on from.
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(part_of(&path), "abc").unwrap();
    let sum = fetch(&item, &[url], &path, &Options { unverified: true, ..options() }).unwrap();
    assert_eq!(sum, Some(sha256(&data[..]).unwrap()));
    assert_eq!(fs::read(&path).unwrap(), data);
}

#[test]
fn places_that_cannot_be_written() {
    let (data, (dir, path)) = (data(), place());
    fs::write(dir.path().join("set"), "a file in the way").unwrap();
    let (url, asked) = serve(|_, head, stream| answer(head, stream, &self::data(), "\"1\"", usize::MAX));
    bad(&item(&data), &url, &path, &["cannot create the folder", "set"]);
    fs::remove_file(dir.path().join("set")).unwrap();
    fs::create_dir_all(part_of(&path)).unwrap();
    bad(&item(&data), &url, &path, &["cannot write", "spikes.bin.part"]);
    assert_eq!(asked.lock().unwrap().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let (data, (_dir, path)) = (data(), place());
    fs::create_dir(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", part_of(&path)).unwrap();
    let (url, _) = serve(|_, head, stream| answer(head, stream, &self::data(), "\"1\"", usize::MAX));
    bad(&item(&data), &url, &path, &["No space left", "make room", "spikes.bin.part"]);
}

#[test]
fn one_process_at_a_time() {
    let (data, (_dir, path)) = (data(), place());
    fs::create_dir(path.parent().unwrap()).unwrap();
    let other = fs::File::create(part_of(&path)).unwrap();
    other.lock().unwrap();
    bad(&item(&data), "http://127.0.0.1:9/x", &path, &["another process"]);
}

/// The command line, as `cargo xtask data …`.
fn run(args: &[&str]) -> Result<u8, String> {
    super::run(Path::new("/nonexistent"), &args.iter().map(|arg| arg.to_string()).collect::<Vec<_>>())
}

#[test]
fn the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let refused = |args: &[&str], word: &str| {
        let why = run(args).unwrap_err();
        assert!(why.contains(word), "\"{word}\" is not in: {why}");
    };
    refused(&[], "data list");
    refused(&["lost"], "no task \"data lost\"");
    refused(&["list", "--jsn"], "no option --jsn");
    refused(&["check", "--data"], "--data needs a value");
    refused(&["check", "mnst", "--data", data], "no data set \"mnst\"; there are: mnist, fashion-mnist");
    refused(&["check", "--data", "/nonexistent/data"], "/nonexistent/data is not there");
    refused(&["fetch", "--data", data], "fetch what?");
    refused(&["fetch", "mnist", "--data", data, "--timeout", "-1"], "--timeout -1");
    refused(&["fetch", "mnist", "shd", "--data", data, "--from", "http://127.0.0.1:9"], "one data set at a time");
    refused(&["fetch", "ti46", "--data", data], "licensed");
    refused(&["fetch", "ti46", "--data", data, "--from", "http://127.0.0.1:9"], "licensed");
    refused(&["fetch", "dvs-gesture", "--data", data], "ibm.ent.box.com");
    assert_eq!(run(&["list", "--json", "--data", data]), Ok(0));
    assert_eq!(run(&["--help"]), Ok(0));
}

#[test]
fn fetch_and_check_from_a_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let (url, asked) = serve(|_, _, stream| send(stream, "200 OK", "", &[b'x'; 1_115_394]));
    let base = url.strip_suffix(NAME).unwrap();
    // Wrong contents are refused, and nothing stays.
    assert_eq!(run(&["fetch", "tinyshakespeare", "--data", data, "--from", base]), Ok(2));
    assert!(asked.lock().unwrap()[0].starts_with("get /input.txt "));
    assert_eq!(names(&dir.path().join("tinyshakespeare/x")), [""; 0]);
    assert_eq!(run(&["check", "--data", data]), Ok(0));
    assert_eq!(run(&["check", "tinyshakespeare", "--data", data]), Ok(2));
    fs::write(dir.path().join("tinyshakespeare/input.txt"), "not Shakespeare").unwrap();
    assert_eq!(run(&["check", "--data", data]), Ok(2));
}

#[test]
fn the_development_data_is_whole() {
    let Some(dir) = std::env::var_os("SNN_DATA") else {
        eprintln!("skipped: SNN_DATA not set");
        return;
    };
    assert_eq!(run(&["check", "mnist", "fashion-mnist", "tinyshakespeare", "--data", dir.to_str().unwrap()]), Ok(0));
    let (url, asked) = serve(|_, _, _| {});
    assert_eq!(run(&["fetch", "fashion-mnist", "--data", dir.to_str().unwrap(), "--from", &url]), Ok(0));
    assert_eq!(asked.lock().unwrap().len(), 0);
}

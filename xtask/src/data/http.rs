//! One file over HTTP: taken up where it broke off, and there whole or not at all.
//!
//! The bytes go to `NAME.part`. Beside it `NAME.part.from` keeps the address and the version (`ETag` or `Last-Modified`) they came from, so
//! that a later attempt, or a later start, asks for the rest of the same version only (`Range` with `If-Range`, RFC 9110, 13.1.5 and 14.2).
//! The sum is taken over the whole file at the end, and only then it gets its name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode, header::HeaderName, header::*};
use ureq::{Agent, Body, Error};

use super::catalogue::Item;
use super::sums::{Sum, sha256};

/// How patient a fetch is, and what it accepts.
pub struct Options {
    /// Longest wait for a connection, and for the next bytes.
    pub timeout: Duration,
    /// How many attempts in a row may bring nothing new.
    pub retries: u32,
    /// Wait after the first such attempt; doubled after each further one, up to half a minute.
    pub pause: Duration,
    /// Take a file whose sum nobody published.
    pub unverified: bool,
}

/// Why an attempt ended.
enum Trouble {
    /// Another attempt may do better.
    Again(String),
    /// This address will not do.
    Address(String),
    /// No address will do: something is wrong on this side.
    Here(String),
}
use Trouble::{Address, Again, Here};

/// The file that holds what has come so far.
pub fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Fetches `item` from the first of `urls` that has it to `path`, and returns its SHA-256 if there is no sum to compare with.
///
/// # Errors
/// One line per address that failed. What has come is kept, unless its sum is wrong.
pub fn fetch(item: &Item, urls: &[String], path: &Path, options: &Options) -> Result<Option<String>, String> {
    if item.sum.is_none() && !options.unverified {
        return Err(format!("{}: nobody published its sum (unverified): give --unverified to take it as it comes", item.name));
    }
    let mut part = Part::open(path)?;
    let mut failed = Vec::new();
    for url in urls {
        match from(url, item, &mut part, options) {
            Ok(()) => return part.finish(item).map(|()| part.sha256),
            Err(Here(why)) => return Err(why),
            Err(Address(why) | Again(why)) => failed.push(format!("{url}: {why}")),
        }
    }
    if part.len == 0 {
        part.forget();
    } else {
        failed.push(format!("{} bytes are kept in {}: the same command goes on from there", part.len, part.at.display()));
    }
    Err(failed.join("\n    "))
}

/// Attempts until the part is the whole file and its sum is right.
fn from(url: &str, item: &Item, part: &mut Part, options: &Options) -> Result<(), Trouble> {
    let https = url.starts_with("https://");
    let mut config = Agent::config_builder()
        .https_only(https) // also after a redirect
        .http_status_as_error(false)
        .user_agent(concat!("snn-xtask/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_connect(Some(options.timeout))
        .timeout_per_read(Some(options.timeout));
    if is_loopback(url) {
        config = config.proxy(None);
    }
    let agent: Agent = config.build().into();

    let (mut idle, mut restarts, mut joined) = (0, 0, part.len > 0);
    loop {
        let before = (part.len, part.starts);
        let why = match attempt(&agent, url, item, part) {
            Ok(()) => match part.verify(item)? {
                None => return Ok(()),
                Some(why) => {
                    part.clear()?;
                    if !joined {
                        return Err(Address(why));
                    }
                    joined = false; // It was put together from several answers: once more in one piece.
                    format!("{why}, put together from several answers")
                }
            },
            Err(Again(why)) => why,
            Err(other) => return Err(other),
        };
        joined |= part.len > 0;
        restarts += part.starts - before.1;
        idle = if part.len > before.0 { 0 } else { idle + 1 };
        if idle > options.retries || restarts > options.retries + 1 {
            return Err(Address(why));
        }
        eprintln!("{}: {why}; trying again", item.name);
        std::thread::sleep((options.pause * 2u32.pow(idle.saturating_sub(1).min(8))).min(Duration::from_secs(30)));
    }
}

/// One request: the rest of the file, or all of it.
fn attempt(agent: &Agent, url: &str, item: &Item, part: &mut Part) -> Result<(), Trouble> {
    // A part of another version, or of another address without a sum to tell the difference at the end, is of no use.
    if part.len > 0 && item.sum.is_none() && part.version_at(url).is_none() {
        part.clear()?;
    }
    if part.len > 0 && item.bytes == Some(part.len) {
        return Ok(());
    }
    let mut request = agent.get(url);
    if part.len > 0 {
        request = request.header(RANGE, format!("bytes={}-", part.len));
        if let Some(version) = part.version_at(url) {
            request = request.header(IF_RANGE, version);
        }
    }
    let response = request.call().map_err(|error| trouble(error, "no answer"))?;
    let header = |name| text(&response, name);
    let range = header(CONTENT_RANGE).unwrap_or_default();
    let (place, whole) = range.trim_start_matches("bytes").trim().split_once('/').unwrap_or_default();
    let whole: Option<u64> = whole.parse().ok();
    let total = match response.status() {
        StatusCode::PARTIAL_CONTENT if part.len > 0 => {
            let start: Option<u64> = place.split('-').next().and_then(|start| start.parse().ok());
            let other = part.version_at(url).is_some_and(|version| version_of(&response).is_some_and(|now| now != version));
            if other || start != Some(part.len) {
                part.clear()?;
                return Err(Again(if other { "the file has changed at the server" } else { "the server sent another range" }.into()));
            }
            whole
        }
        StatusCode::RANGE_NOT_SATISFIABLE if part.len > 0 => {
            if whole == Some(part.len) {
                return Ok(());
            }
            part.clear()?;
            return Err(Again("the server has no such range: the file has changed".into()));
        }
        StatusCode::OK => response.body().content_length(),
        status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
            return Err(Again(format!("the server answers {status}")));
        }
        status if status.is_server_error() => return Err(Again(format!("the server answers {status}"))),
        status => return Err(Address(format!("the server answers {status}"))),
    };
    if header(CONTENT_TYPE).is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html")) {
        return Err(Address("the server sent a web page instead of the file".into()));
    }
    if let (Some(total), Some(bytes)) = (total, item.bytes)
        && total != bytes
    {
        return Err(Address(format!("the server announces {total} bytes, but the file has {bytes}")));
    }
    if response.status() == StatusCode::OK {
        part.start(url, version_of(&response).as_deref())?;
    }
    receive(response.into_body(), item, total, part)
}

/// Writes what comes behind what is there.
fn receive(body: Body, item: &Item, total: Option<u64>, part: &mut Part) -> Result<(), Trouble> {
    let (mut body, mut buffer) = (body.into_reader(), vec![0; 1 << 16]);
    let mut progress = Progress::new(item.name, total.or(item.bytes), part.len);
    loop {
        let n = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(match Error::from(error) {
                    error @ Error::Timeout(_) => trouble(error, &format!("stalled after {} bytes", part.len)),
                    error => Again(format!("cut off after {} bytes{} ({error})", part.len, of(total))),
                });
            }
        };
        if part.len == 0 && is_page(&buffer[..n]) {
            return Err(Address("the server sent a web page instead of the file".into()));
        }
        let bound = item.bytes.or(total).unwrap_or(u64::MAX);
        if part.len + n as u64 > bound {
            part.clear()?;
            return Err(Address(format!("the server sends more than the {bound} bytes of the file")));
        }
        part.append(&buffer[..n])?;
        progress.show(part.len);
    }
    match total.or(item.bytes) {
        Some(bound) if part.len < bound => Err(Again(format!("cut off after {} bytes of {bound}", part.len))),
        _ => Ok(()),
    }
}

fn of(total: Option<u64>) -> String {
    total.map(|total| format!(" of {total}")).unwrap_or_default()
}

/// Whether another attempt may help, and in words.
fn trouble(error: Error, when: &str) -> Trouble {
    match error {
        Error::RequireHttpsOnly(to) => Address(format!("redirected from https to {to}, which is not safe: refused")),
        Error::TooManyRedirects => Address("redirected in a loop, or too often".into()),
        Error::BadUri(what) => Address(format!("no address to fetch from ({what})")),
        Error::Tls(_) | Error::TlsRequired => {
            Address(format!("redirected to https, or TLS failed ({error}): run `cargo run -p xtask --features tls -- data fetch …`"))
        }
        Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Address(format!("no safe connection ({error})")),
        Error::Timeout(_) => Again(format!("{when}: no bytes came in time (see --timeout)")),
        error => Again(format!("{when} ({error})")),
    }
}

/// Whether an address is on this machine, where a proxy has no business.
fn is_loopback(url: &str) -> bool {
    ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| url.starts_with(start))
}

fn is_page(start: &[u8]) -> bool {
    let start = start.trim_ascii_start().to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

fn text(response: &Response<Body>, name: HeaderName) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

/// What names this version of the file: a strong `ETag`, or else the date.
fn version_of(response: &Response<Body>) -> Option<String> {
    text(response, ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(response, LAST_MODIFIED))
}

/// The file that grows.
struct Part {
    to: PathBuf,
    at: PathBuf,
    file: File,
    len: u64,
    /// Address and version of what is there.
    from: Option<(String, String)>,
    /// How often it was begun anew.
    starts: u32,
    /// Filled by `verify` where there is no sum.
    sha256: Option<String>,
}

impl Part {
    /// Opens or makes it, with the folder, for this process alone.
    fn open(to: &Path) -> Result<Self, String> {
        let at = part_of(to);
        let folder = to.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| format!("cannot create the folder {}: {error}", folder.display()))?;
        let file = OpenOptions::new().create(true).append(true).read(true).open(&at);
        let file = file.map_err(|error| format!("cannot write {}: {error}", at.display()))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(format!("another process is fetching {}", at.display()));
        }
        let len = file.metadata().map_err(|error| format!("cannot read {}: {error}", at.display()))?.len();
        let from = fs::read_to_string(tag_of(&at)).ok();
        let from = from.and_then(|text| text.split_once('\n').map(|(url, version)| (url.to_owned(), version.trim_end().to_owned())));
        Ok(Part { to: to.to_owned(), at, file, len, from, starts: 0, sha256: None })
    }

    /// The version of what is there, if it came from `url`.
    fn version_at(&self, url: &str) -> Option<&str> {
        self.from.as_ref().filter(|(from, version)| from == url && !version.is_empty()).map(|(_, version)| &version[..])
    }

    fn clear(&mut self) -> Result<(), Trouble> {
        if self.len > 0 {
            self.file.set_len(0).map_err(|error| Here(format!("cannot empty {}: {error}", self.at.display())))?;
            self.len = 0;
            self.starts += 1;
        }
        self.from = None;
        let _ = fs::remove_file(tag_of(&self.at));
        Ok(())
    }

    fn start(&mut self, url: &str, version: Option<&str>) -> Result<(), Trouble> {
        self.clear()?;
        let version = version.unwrap_or_default();
        let tag = tag_of(&self.at);
        fs::write(&tag, format!("{url}\n{version}\n")).map_err(|error| Here(format!("cannot write {}: {error}", tag.display())))?;
        self.from = Some((url.to_owned(), version.to_owned()));
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let full = error.kind() == io::ErrorKind::StorageFull;
                let help = if full { "make room, then the same command goes on from there" } else { "the same command goes on from there" };
                Err(Here(format!("cannot write {} after {} bytes: {error}; {help}", self.at.display(), self.len)))
            }
        }
    }

    /// What is wrong with the sum; nothing if it is right or there is none.
    fn verify(&mut self, item: &Item) -> Result<Option<String>, Trouble> {
        let failed = |error| Here(format!("cannot read {}: {error}", self.at.display()));
        self.file.sync_all().and_then(|()| self.file.rewind()).map_err(failed)?;
        let from = BufReader::new(&self.file);
        let Some(sum) = item.sum else {
            self.sha256 = Some(sha256(from).map_err(failed)?);
            return Ok(None);
        };
        let found = sum.of(from).map_err(failed)?;
        Ok((found != sum.hex()).then(|| wrong_sum(sum, &found)))
    }

    /// Gives it its name.
    fn finish(&mut self, item: &Item) -> Result<(), String> {
        fs::rename(&self.at, &self.to).map_err(|error| format!("cannot rename {} to {}: {error}", self.at.display(), item.name))?;
        let _ = fs::remove_file(tag_of(&self.at));
        Ok(())
    }

    fn forget(&self) {
        let _ = fs::remove_file(&self.at);
        let _ = fs::remove_file(tag_of(&self.at));
    }
}

/// The sentence about a wrong sum.
pub fn wrong_sum(sum: Sum, found: &str) -> String {
    format!("wrong {}: expected {}, found {found}", sum.kind(), sum.hex())
}

fn tag_of(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(".from");
    name.into()
}

/// A line on a terminal, five times a second.
struct Progress<'a> {
    name: &'a str,
    total: Option<u64>,
    start: (Instant, u64),
    last: Option<Instant>,
}

impl<'a> Progress<'a> {
    fn new(name: &'a str, total: Option<u64>, len: u64) -> Self {
        let last = io::stderr().is_terminal().then(Instant::now);
        Progress { name, total, start: (Instant::now(), len), last }
    }

    fn show(&mut self, len: u64) {
        let Some(last) = &mut self.last else { return };
        if last.elapsed() < Duration::from_millis(200) {
            return;
        }
        *last = Instant::now();
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let speed = megabytes(len - self.start.1) / self.start.0.elapsed().as_secs_f64();
        let total = self.total.map(|total| format!(" of {:.1}", megabytes(total))).unwrap_or_default();
        eprint!("\r{}: {:.1}{total} MB, {speed:.1} MB/s   ", self.name, megabytes(len));
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.last.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

//! `cargo xtask data`: the data sets, whether they are whole, and getting them.

mod catalogue;
mod http;
mod sums;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use catalogue::{Item, SETS, Set};
use http::Options;
use sums::Verdict;

const HELP: &str = "\
cargo xtask data list [--json]            every data set: size, what is here, licence
cargo xtask data check [ID…]              read the files and compare their sums
cargo xtask data fetch ID… [option…]      download what is missing; a broken download goes on where it stopped

  --data DIR         the data folder; without it the variable SNN_DATA
  --from URL         fetch: take the files of one data set from below this address (a mirror); sums are compared all the same
  --unverified       fetch: also files of which nobody published a sum; prints the SHA-256 they have
  --timeout SECONDS  fetch: longest wait for a connection and for the next bytes (30)
  --retries N        fetch: attempts in a row that may bring nothing new (5)

Exit codes: 0 all good; 2 wrong usage, a file that is damaged or (named and) missing, or a download that failed.
A licence marked (unverified) was not read at the publisher. Credit is due to those named beside it.";

/// The command line, parsed.
struct Args {
    ids: Vec<String>,
    data: Option<PathBuf>,
    json: bool,
    from: Option<String>,
    options: Options,
}

impl Args {
    fn parse(args: &[String]) -> Result<Self, String> {
        let options = Options { timeout: Duration::from_secs(30), retries: 5, pause: Duration::from_secs(1), unverified: false };
        let data = std::env::var_os("SNN_DATA").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let mut parsed = Args { ids: Vec::new(), data, json: false, from: None, options };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value\n\n{HELP}"));
            match arg.as_str() {
                "--data" => parsed.data = Some(value()?.into()),
                "--json" => parsed.json = true,
                "--from" => parsed.from = Some(value()?.trim_end_matches('/').to_owned()),
                "--unverified" => parsed.options.unverified = true,
                "--timeout" => {
                    let seconds = value()?;
                    let timeout = seconds.parse().ok().filter(|s| *s > 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
                    parsed.options.timeout = timeout.ok_or(format!("--timeout {seconds}: not a positive number of seconds"))?;
                }
                "--retries" => {
                    let n = value()?;
                    parsed.options.retries = n.parse().map_err(|_| format!("--retries {n}: not a count"))?;
                }
                flag if flag.starts_with('-') => return Err(format!("there is no option {flag}\n\n{HELP}")),
                id => parsed.ids.push(id.to_owned()),
            }
        }
        Ok(parsed)
    }

    /// The sets that were named.
    fn sets(&self) -> Result<Vec<&'static Set>, String> {
        let find = |id: &String| {
            let known = || SETS.iter().map(|set| set.id).collect::<Vec<_>>().join(", ");
            SETS.iter().find(|set| set.id == *id).ok_or_else(|| format!("there is no data set \"{id}\"; there are: {}", known()))
        };
        self.ids.iter().map(find).collect()
    }

    fn dir(&self) -> Result<&Path, String> {
        self.data.as_deref().ok_or("which data folder? Give --data DIR or set SNN_DATA".into())
    }
}

/// Runs `cargo xtask data …`.
pub fn run(root: &Path, args: &[String]) -> Result<u8, String> {
    let Some((command, rest)) = args.split_first() else { return Err(format!("what about the data?\n\n{HELP}")) };
    if args.iter().any(|arg| ["--help", "-h", "help"].contains(&arg.as_str())) {
        println!("{HELP}");
        return Ok(0);
    }
    let parsed = Args::parse(rest)?;
    match command.as_str() {
        "list" => list(&parsed),
        "check" => check(&parsed),
        "fetch" => fetch(root, args, &parsed),
        other => Err(format!("there is no task \"data {other}\"\n\n{HELP}")),
    }
}

fn list(args: &Args) -> Result<u8, String> {
    if !args.ids.is_empty() {
        return Err("`data list` takes no names: it lists every data set".into());
    }
    let state = |set: &Set, item: &Item| args.data.as_deref().map(|dir| sums::glance(item, &dir.join(set.folder)));
    if args.json {
        let file = |set: &Set, item: &Item| {
            json!({
                "path": format!("{}/{}", set.folder, item.name), "bytes": item.bytes, "urls": item.urls,
                "sum": item.sum.map(|sum| json!({ "kind": sum.kind(), "hex": sum.hex() })), "state": state(set, item),
            })
        };
        let set = |set: &Set| {
            json!({
                "id": set.id, "about": set.about, "licence": set.licence, "home": set.home, "by_hand": set.by_hand,
                "sums_from": set.source, "files": set.files.iter().map(|item| file(set, item)).collect::<Vec<_>>(),
            })
        };
        return print(&format!("{:#}\n", SETS.iter().map(set).collect::<Value>()));
    }
    let mut table = format!("{:<16} {:>9}  {:<14} licence and credit\n", "id", "size", "here");
    for set in SETS {
        let states: Vec<&str> = set.files.iter().filter_map(|item| state(set, item)).collect();
        let indent = " ".repeat(43);
        table += &format!("{:<16} {:>9}  {:<14} {}\n", set.id, size(set), summary(&states), set.licence);
        table += &format!("{indent}{} ({})\n", set.about, set.home);
        if !set.by_hand.is_empty() {
            table += &format!("{indent}by hand: {}\n", set.by_hand);
        }
    }
    if args.data.is_none() {
        eprintln!("no data folder was given (--data DIR or SNN_DATA): what is here is not shown");
    }
    print(&table)
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> Result<u8, String> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write to standard output: {error}")),
        _ => Ok(0),
    }
}

fn size(set: &Set) -> String {
    let bytes: Option<u64> = set.files.iter().map(|item| item.bytes).sum();
    bytes.filter(|bytes| *bytes > 0).map_or("?".into(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6))
}

/// The states of the files of one set in a few words.
fn summary(states: &[&str]) -> String {
    let count = |state| states.iter().filter(|found| **found == state).count();
    match (states.len(), count("present"), count("missing")) {
        (0, _, _) => "-".into(),
        _ if count("damaged?") > 0 => "damaged?".into(),
        (all, present, _) if present == all => "present".into(),
        (all, _, missing) if missing == all => "missing".into(),
        (all, present, _) => format!("{present} of {all}{}", if count("part") > 0 { ", part" } else { "" }),
    }
}

fn check(args: &Args) -> Result<u8, String> {
    let (dir, named) = (args.dir()?, args.sets()?);
    if !dir.is_dir() {
        return Err(format!("the data folder {} is not there", dir.display()));
    }
    let sets: Vec<&Set> = if named.is_empty() { SETS.iter().collect() } else { named };
    let (mut good, mut bad) = (0, 0);
    for set in sets {
        for item in set.files {
            let name = format!("{}/{}", set.folder, item.name);
            match sums::check(item, &dir.join(set.folder)) {
                Ok(Verdict::Missing) if args.ids.is_empty() => continue,
                Ok(Verdict::Missing) => println!("{name}: MISSING: `cargo xtask data fetch {}`", set.id),
                Ok(Verdict::Good { again }) => {
                    println!("{name}: good{}", if again { " (contents; compressed again, or not)" } else { "" });
                    good += 1;
                    continue;
                }
                Ok(Verdict::Unpacked) => {
                    println!("{name}: unpacked; not compared, for want of the archive");
                    continue;
                }
                Ok(Verdict::NoSum { sha256 }) => {
                    println!("{name}: unverified, nobody published its sum; SHA-256 {sha256}");
                    continue;
                }
                Ok(Verdict::Bad { path, kind, expected, found }) => {
                    println!("{}: DAMAGED or another version: {kind} expected {expected}, found {found}", path.display());
                }
                Err(why) => println!("{name}: {why}"),
            }
            bad += 1;
        }
    }
    eprintln!("{good} files good, {bad} not");
    Ok(if bad > 0 { 2 } else { 0 })
}

fn fetch(root: &Path, all: &[String], args: &Args) -> Result<u8, String> {
    let (dir, sets) = (args.dir()?, args.sets()?);
    if sets.is_empty() {
        return Err("fetch what? `cargo xtask data list` shows the data sets".into());
    }
    if args.from.is_some() && sets.len() > 1 {
        return Err("--from takes one data set at a time".into());
    }
    for set in &sets {
        if !set.by_hand.is_empty() && (args.from.is_none() || set.files.is_empty()) {
            let place = dir.join(set.folder);
            return Err(format!("{} cannot be fetched: {}; put the files in {}", set.id, set.by_hand, place.display()));
        }
    }
    let tls = |set: &Set| match &args.from {
        Some(from) => from.starts_with("https:"),
        None => set.files.iter().any(|item| item.urls.iter().any(|url| url.starts_with("https:"))),
    };
    if !cfg!(feature = "tls") && sets.iter().any(|set| tls(set)) {
        return with_tls(root, all);
    }
    let mut failed = 0;
    for set in sets {
        for item in set.files {
            if let Err(why) = fetch_one(set, item, dir, args) {
                eprintln!("error: {}/{}: {why}", set.folder, item.name);
                failed += 1;
            }
        }
    }
    Ok(if failed > 0 { 2 } else { 0 })
}

fn fetch_one(set: &Set, item: &Item, dir: &Path, args: &Args) -> Result<(), String> {
    let (dir, path) = (dir.join(set.folder), dir.join(set.folder).join(item.name));
    match sums::check(item, &dir)? {
        Verdict::Good { .. } | Verdict::Unpacked | Verdict::NoSum { .. } => {
            println!("{}: is there", path.display());
            return Ok(());
        }
        Verdict::Bad { .. } => eprintln!("{}: damaged, or another version: replaced once the right one has come", path.display()),
        Verdict::Missing => {}
    }
    let urls: Vec<String> = match &args.from {
        Some(from) => vec![format!("{from}/{}", item.name)],
        None => item.urls.iter().map(|url| url.to_string()).collect(),
    };
    let sha256 = http::fetch(item, &urls, &path, &args.options)?;
    match (item.sum, sha256) {
        (Some(sum), _) => println!("{}: fetched, {} right", path.display(), sum.kind()),
        (None, sha256) => println!("{}: fetched, UNVERIFIED, SHA-256 {}", path.display(), sha256.unwrap_or_default()),
    }
    if !item.unpacked.is_empty() {
        let quoted = |path: &Path| format!("'{}'", path.display());
        println!("    unpack it: {}", set.unpack.replace("{file}", &quoted(&path)).replace("{dir}", &quoted(&dir)));
    }
    Ok(())
}

/// Runs the same command in an xtask that speaks TLS, built in a folder of its own so that it never replaces the running program.
fn with_tls(root: &Path, args: &[String]) -> Result<u8, String> {
    eprintln!("building xtask with TLS, if it is not yet (feature `tls`)");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("tls");
    let mut run = crate::cargo();
    run.args(["run", "--quiet", "--package", "xtask", "--features", "tls", "--target-dir"]).arg(target);
    run.arg("--manifest-path").arg(root.join("Cargo.toml")).args(["--", "data"]).args(args);
    let status = run.status().map_err(|error| format!("cannot start cargo: {error}"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2))
}

//! Where a run writes: partial state that survives a kill, and files that appear all at once when the run has succeeded.
//!
//! Beside the final folder `smoke-1/` stands `smoke-1.partial/` while the run goes on:
//! `lock` (held by the running process), `begun.json` (by which program, with which arguments), `checkpoints/NAME/` and `files/`.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::LabError;

/// The program and the arguments that partial state depends on and the folder's name does not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) version: String,
    pub(crate) data: Option<PathBuf>,
    /// Of a training: the digest of its recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recipe: Option<String>,
}

impl Begun {
    /// What is begun now.
    pub(crate) fn now(data: Option<PathBuf>, recipe: Option<String>) -> Self {
        Begun { version: format!("{}, build {}", env!("CARGO_PKG_VERSION"), build()), data, recipe }
    }
}

/// Which build of the program this is, by its file: what another one left half done would not become the bits of either. "unknown" if it cannot be read.
fn build() -> &'static str {
    static BUILD: LazyLock<String> = LazyLock::new(|| {
        let digest = std::env::current_exe().and_then(|path| -> std::io::Result<String> {
            let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
            while let n @ 1.. = file.read(&mut piece)? {
                hash.update(&piece[..n]);
            }
            Ok(hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect())
        });
        digest.unwrap_or_else(|_| "unknown".into())
    });
    &BUILD
}

impl std::fmt::Display for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "by version {}", self.version)?;
        match (&self.recipe, &self.data) {
            (Some(digest), _) => write!(f, " from the recipe with digest {}", &digest[..digest.len().min(12)]),
            (None, Some(data)) => write!(f, " with data {}", data.display()),
            (None, None) => write!(f, " without data"),
        }
    }
}

pub(crate) struct Store {
    dir: PathBuf,
    partial: PathBuf,
    _lock: File,
    resumed: bool,
}

impl Store {
    /// Opens the place of a run. With `resume`, checkpoints of an earlier attempt are kept; else they are removed.
    pub(crate) fn open(dir: &Path, begun: &Begun, resume: bool) -> Result<Store, LabError> {
        let partial = beside(dir, ".partial");
        if dir.exists() && !dir.is_dir() {
            return Err(LabError::io("replace", dir)(std::io::ErrorKind::NotADirectory.into()));
        }
        fs::create_dir_all(&partial).map_err(LabError::io("create the folder", &partial))?;
        let mut store = Store { dir: dir.into(), _lock: lock(dir, &partial)?, partial, resumed: false };
        // A run killed between the two renames of `replace` leaves the older result here.
        let replaced = store.replaced();
        if replaced.exists() && !dir.exists() {
            fs::rename(&replaced, dir).map_err(LabError::io("put back", dir))?;
        }
        let path = store.partial.join("begun.json");
        if resume && store.has_checkpoints() {
            let was: Option<Begun> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            if was.as_ref() != Some(begun) {
                let was = was.map_or_else(|| "in an unknown way".to_owned(), |was| was.to_string());
                return Err(LabError::OtherRun { path: store.partial.clone(), was, now: begun.to_string() });
            }
            store.resumed = true;
            store.remove_half_written()?;
        } else {
            remove_dir(&store.checkpoints())?;
            snn_io::json::save_json(&path, begun)?;
        }
        remove_dir(&store.files())?;
        fs::create_dir(store.files()).map_err(LabError::io("create the folder", store.files()))?;
        Ok(store)
    }

    /// Removes what a run left that was killed after its result was there. If another process is at work there, nothing happens.
    pub(crate) fn clear(dir: &Path) -> Result<(), LabError> {
        let partial = beside(dir, ".partial");
        if !partial.exists() {
            return Ok(());
        }
        match lock(dir, &partial) {
            Ok(_held) => remove_dir(&partial),
            Err(LabError::Busy { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where the files will be in the end.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether an earlier attempt left checkpoints here.
    pub(crate) fn resumed(&self) -> bool {
        self.resumed
    }

    /// Where the files are until the run has succeeded.
    pub(crate) fn files(&self) -> PathBuf {
        self.partial.join("files")
    }

    /// A folder for partial state.
    pub(crate) fn checkpoint(&self, name: &str) -> Result<PathBuf, LabError> {
        let dir = self.checkpoints().join(name);
        fs::create_dir_all(&dir).map_err(LabError::io("create the folder", &dir))?;
        Ok(dir)
    }

    /// Puts the files in their final place, whose earlier content goes away: whoever looks, and whenever the power fails, there are the
    /// old files or the new ones.
    pub(crate) fn commit(self) -> Result<(), LabError> {
        for file in entries(&self.files())? {
            sync(&file)?;
        }
        sync(&self.files())?;
        if self.dir.exists() {
            self.replace()?;
        } else {
            fs::rename(self.files(), &self.dir).map_err(LabError::io("create the folder", &self.dir))?;
        }
        // The parent of a plain name is the present folder.
        sync(self.dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        remove_dir(&self.partial)
    }

    /// Swaps the older result for the files.
    fn replace(&self) -> Result<(), LabError> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            if renameat_with(CWD, self.files(), CWD, &self.dir, RenameFlags::EXCHANGE).is_ok() {
                return Ok(());
            }
        }
        // Without an exchange in one step there is a moment without a result; `open` mends it after a kill.
        let old = self.replaced();
        remove_dir(&old)?;
        fs::rename(&self.dir, &old).map_err(LabError::io("replace", &self.dir))?;
        fs::rename(self.files(), &self.dir).map_err(|cause| match fs::rename(&old, &self.dir) {
            Ok(()) => LabError::Io { doing: "replace", path: self.dir.clone(), cause },
            Err(cause) => LabError::Io { doing: "put back", path: self.dir.clone(), cause },
        })
    }

    /// Whether there is partial state.
    pub(crate) fn has_checkpoints(&self) -> bool {
        let folders = entries(&self.checkpoints()).unwrap_or_default();
        folders.iter().any(|folder| entries(folder).is_ok_and(|files| files.iter().any(|file| !hidden(file))))
    }

    /// Removes the temporary files of checkpoints that a kill left half written.
    fn remove_half_written(&self) -> Result<(), LabError> {
        for folder in entries(&self.checkpoints())? {
            for file in entries(&folder)?.iter().filter(|file| hidden(file)) {
                fs::remove_file(file).map_err(LabError::io("remove", file))?;
            }
        }
        Ok(())
    }

    fn checkpoints(&self) -> PathBuf {
        self.partial.join("checkpoints")
    }

    fn replaced(&self) -> PathBuf {
        self.partial.join("replaced")
    }
}

/// However a run ends, checkpoints are all that stays beside a result; and an older result that could not be put back.
impl Drop for Store {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run here.
        let _ = remove_dir(&self.files());
        if !self.has_checkpoints() && !self.replaced().exists() {
            let _ = remove_dir(&self.partial);
        }
    }
}

/// Makes this process the only one that writes to `partial`, until the file is dropped.
fn lock(dir: &Path, partial: &Path) -> Result<File, LabError> {
    let path = partial.join("lock");
    let lock = File::create(&path).map_err(LabError::io("write", &path))?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => Err(LabError::Busy { path: dir.into() }),
        // Some network file systems have no locks; a run there is as good as it was without them.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(lock),
    }
}

/// The contents of a folder.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, LabError> {
    let paths = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    paths.map_err(LabError::io("read the folder", dir))
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Waits until a file or folder is on the disk.
fn sync(path: &Path) -> Result<(), LabError> {
    if cfg!(not(unix)) && path.is_dir() {
        return Ok(()); // other systems do not open folders
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(LabError::io("write", path))
}

/// `path` with `suffix` after its last name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn remove_dir(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(LabError::Io { doing: "remove", path: path.into(), cause }),
        _ => Ok(()),
    }
}

/// A file name that stays inside its folder on every system.
pub(crate) fn check_name(name: &str) -> Result<(), LabError> {
    let why = if name.is_empty() || name.starts_with('.') {
        "a name begins with a letter or digit"
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        "use letters, digits, '-', '_' and '.' only"
    } else {
        return Ok(());
    };
    Err(LabError::FileName { name: name.into(), why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// Where folders are exchanged in one step (most file systems of Linux) a reader finds a result at any moment.
    #[test]
    #[cfg(target_os = "linux")]
    fn an_older_result_is_replaced_in_one_step() {
        let out = tempfile::tempdir().unwrap();
        let dir = out.path().join("smoke-1");
        let commit = |k: usize| {
            let store = Store::open(&dir, &Begun { version: "1".into(), data: None, recipe: None }, false).unwrap();
            fs::write(store.files().join("result.json"), k.to_string()).unwrap();
            store.commit().unwrap();
        };
        commit(0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    fs::read(dir.join("result.json")).expect("a result");
                }
            });
            (1..100).for_each(commit);
            done.store(true, Relaxed);
        });
        assert_eq!(fs::read(dir.join("result.json")).unwrap(), b"99");
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    }

    #[test]
    fn state_begun_with_other_arguments_is_refused_and_kept() {
        let out = tempfile::tempdir().unwrap();
        let dir = out.path().join("smoke-1");
        let begun = |version: &str| Begun { version: version.into(), data: None, recipe: None };
        let store = Store::open(&dir, &begun("1"), false).unwrap();
        fs::write(store.checkpoint("training").unwrap().join("one.ckpt"), "x").unwrap();
        assert!(matches!(Store::open(&dir, &begun("1"), true), Err(LabError::Busy { .. })));
        drop(store);
        let error = Store::open(&dir, &begun("2"), true).err().unwrap().to_string();
        assert!(error.contains("was begun by version 1 without data, this run is by version 2"), "{error}");
        assert!(Store::open(&dir, &begun("1"), true).unwrap().resumed());
    }

    /// Two builds of one version are two programs.
    #[test]
    fn a_run_knows_which_build_began_it() {
        let now = Begun::now(None, None);
        let (version, build) = now.version.split_once(", build ").unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert!(build.len() == 12 && build.chars().all(|c| c.is_ascii_hexdigit()), "{build}");
        assert_eq!(now, Begun::now(None, None));
    }
}

//! Files that are there whole or not at all.

use crate::IoError;
use std::{fs, io::Write, path::Path};

/// Writes `bytes` to `path`: a reader, or the next start after a crash, sees the old contents or the new ones, never a part.
///
/// The bytes go to a temporary file in the same folder, are synced to the disk, and the file is renamed over `path`. Folders that are
/// missing are created. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// [`IoError::Os`] if the folder cannot be made, or the file not be written or renamed; the temporary file is then removed.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), IoError> {
    let path = path.as_ref();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(|e| IoError::os(dir, "create the folder", e))?;
    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; a result is as readable as any other file (the umask still applies).
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(dir).map_err(|e| IoError::os(dir, "create a temporary file in it", e))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(|e| IoError::os(path, "write it", e))?;
    file.persist(path).map_err(|e| IoError::os(path, "rename the temporary file to it", e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_replaces_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_path_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        let message = write(&taken, b"x").unwrap_err().to_string();
        assert!(message.contains("taken") && message.contains("rename"), "{message}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let file = dir.path().join("file");
        write(&file, b"x").unwrap();
        let message = write(file.join("below"), b"x").unwrap_err().to_string();
        assert!(message.contains("create the folder"), "{message}");
    }
}

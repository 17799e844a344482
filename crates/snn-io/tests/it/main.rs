//! Readers against good, old and broken files.

mod bad_files;
mod hdf5;
mod nir;
mod npy;
mod onnx;
mod onnx_file;

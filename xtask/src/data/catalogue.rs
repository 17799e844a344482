//! What data sets there are, where they come from, and how to know that a file is the right one.
//!
//! Every sum was read in a public source, named in its entry; none was taken from a download of ours. A licence marked `unverified` was not
//! read at the publisher.

use super::sums::Sum::{self, Md5, Sha256};

/// One data set.
pub struct Set {
    /// Its name on the command line.
    pub id: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The licence, and to whom credit is due.
    pub licence: &'static str,
    /// The publisher's page.
    pub home: &'static str,
    /// The folder below the data folder: the one that our loaders read.
    pub folder: &'static str,
    /// Why it cannot be fetched, and what to do instead; empty if it can.
    pub by_hand: &'static str,
    /// Where the sums were read.
    pub source: &'static str,
    /// Its files, as they are published.
    pub files: &'static [Item],
    /// The command that unpacks one archive; `{file}` and `{dir}` stand for the paths. Empty if the loaders read the files as they are.
    pub unpack: &'static str,
}

/// One file.
pub struct Item {
    /// Its name in our folder.
    pub name: &'static str,
    /// Where it can be had, the first address first.
    pub urls: &'static [&'static str],
    /// Bytes, where a source gives them.
    pub bytes: Option<u64>,
    /// The sum of the file; none: `unverified`.
    pub sum: Option<Sum>,
    /// For a `.gz`: bytes (0 if not known) and sum of what is inside, so that a file that was compressed again is still known.
    pub inside: Option<(u64, Sum)>,
    /// Files that show that it was unpacked.
    pub unpacked: &'static [&'static str],
}

/// A file with nothing but its name, for the struct update syntax.
pub const FILE: Item = Item { name: "", urls: &[], bytes: None, sum: None, inside: None, unpacked: &[] };

const SET: Set = Set { id: "", about: "", licence: "", home: "", folder: "", by_hand: "", source: "", files: &[], unpack: "" };

/// The four files of MNIST and its relatives at two addresses: `(bytes, MD5)` compressed and inside.
macro_rules! idx {
    ($first:literal, $second:literal, $($name:literal: $bytes:literal $md5:literal, inside $all:literal $inside:literal;)*) => {
        &[$(Item {
            name: $name,
            urls: &[concat!($first, $name), concat!($second, $name)],
            bytes: Some($bytes),
            sum: Some(Md5($md5)),
            inside: Some(($all, Md5($inside))),
            ..FILE
        }),*]
    };
}

/// Every data set.
pub const SETS: &[Set] = &[
    Set {
        id: "mnist",
        about: "70,000 handwritten digits, 28 × 28",
        licence: "CC BY-SA 3.0 (unverified); LeCun, Cortes, Burges",
        home: "http://yann.lecun.com/exdb/mnist",
        folder: "mnist",
        source: "torchvision/datasets/mnist.py; sizes: tensorflow_datasets/url_checksums/mnist.txt; MD5 of the contents: several loaders agree",
        files: idx![
            "https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "train-images-idx3-ubyte.gz": 9_912_422 "f68b3c2dcbeaaa9fbdd348bbdeb94873", inside 47_040_016 "6bbc9ace898e44ae57da46a324031adb";
            "train-labels-idx1-ubyte.gz": 28_881 "d53e105ee54ea40749a09fcbcd1e9432", inside 60_008 "a25bea736e30d166cdddb491f175f624";
            "t10k-images-idx3-ubyte.gz": 1_648_877 "9fb629c4189551a2d022fa330f9573f3", inside 7_840_016 "2646ac647ad5339dbf082846283269ea";
            "t10k-labels-idx1-ubyte.gz": 4_542 "ec29112dd5afa0611ce80d1b7f02629c", inside 10_008 "27ae3e4e09519cfbb04c329615203637";
        ],
        ..SET
    },
    Set {
        id: "fashion-mnist",
        about: "70,000 pictures of clothing, 28 × 28",
        licence: "MIT; Zalando SE",
        home: "https://github.com/zalandoresearch/fashion-mnist",
        folder: "fashion-mnist",
        source: "torchvision/datasets/mnist.py; sizes: tensorflow_datasets/url_checksums/fashion_mnist.txt; MD5 of the contents: several loaders agree",
        files: idx![
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "train-images-idx3-ubyte.gz": 26_421_880 "8d4fb7e6c68d591d4c3dfef9ec88bf0d", inside 47_040_016 "f4a8712d7a061bf5bd6d2ca38dc4d50a";
            "train-labels-idx1-ubyte.gz": 29_515 "25c81989df183df01b3e8a0aad5dffbe", inside 60_008 "9018921c3c673c538a1fc5bad174d6f9";
            "t10k-images-idx3-ubyte.gz": 4_422_102 "bef4ecab320f06d8554ea6380940ec79", inside 7_840_016 "8181f5470baa50b63fa0f6fddb340f0a";
            "t10k-labels-idx1-ubyte.gz": 5_148 "bb300cfdad3c16e7a12a480ee83cd310", inside 10_008 "15d484375f8d13e6eb1aabb0c3f46965";
        ],
        ..SET
    },
    Set {
        id: "n-mnist",
        about: "MNIST seen by a moving event camera, 34 × 34, two polarities",
        licence: "CC BY-SA 4.0 (unverified); Orchard, Jayawant, Cohen, Thakor 2015",
        home: "https://www.garrickorchard.com/datasets/n-mnist",
        folder: "nmnist",
        source: "tonic/datasets/nmnist.py; the same in spikingjelly/datasets/n_mnist.py",
        files: &[
            Item {
                name: "Train.zip",
                urls: &[
                    "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
                ],
                sum: Some(Md5("20959b8e626244a1b502305a9e6e2031")),
                unpacked: &["Train/0"],
                ..FILE
            },
            Item {
                name: "Test.zip",
                urls: &[
                    "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
                ],
                sum: Some(Md5("69ca8762b2fe404d9b9bad1103e97832")),
                unpacked: &["Test/0"],
                ..FILE
            },
        ],
        unpack: "unzip -q {file} -d {dir}",
        ..SET
    },
    Set {
        id: "shd",
        about: "Spiking Heidelberg Digits: spoken digits as spikes of 700 cochlear channels",
        licence: "CC BY 4.0; Cramer, Stradmann, Schemmel, Zenke 2020",
        home: "https://zenkelab.org/resources/spiking-heidelberg-datasets-shd",
        folder: "shd",
        // The publisher's own list, https://zenkelab.org/datasets/md5sums.txt, could not be read; these are what loaders copied from it.
        source: "norse/dataset/spiking_heidelberg.py (compressed and inside)",
        files: &[
            Item {
                name: "shd_train.h5.gz",
                urls: &["https://zenkelab.org/datasets/shd_train.h5.gz", "https://compneuro.net/datasets/shd_train.h5.gz"],
                sum: Some(Md5("d47c9825dee33347913e8ce0f2be08b0")),
                inside: Some((0, Md5("8e9877c85f29a28dd353ea6a54402667"))),
                ..FILE
            },
            Item {
                name: "shd_test.h5.gz",
                urls: &["https://zenkelab.org/datasets/shd_test.h5.gz", "https://compneuro.net/datasets/shd_test.h5.gz"],
                sum: Some(Md5("3062a80ec0c5719404d5b02e166543b1")),
                inside: Some((0, Md5("207ad1295a0ab611e22d1734989c254e"))),
                ..FILE
            },
        ],
        ..SET
    },
    Set {
        id: "ssc",
        about: "Spiking Speech Commands: 35 spoken words as spikes of 700 cochlear channels",
        licence: "CC BY 4.0; Cramer, Stradmann, Schemmel, Zenke 2020",
        home: "https://zenkelab.org/resources/spiking-heidelberg-datasets-shd",
        folder: "ssc",
        // The publisher also has .h5.gz, but no public list of their sums was found.
        source: "tonic/datasets/hsd.py; the same in spikingjelly/datasets/shd.py",
        files: &[
            Item {
                name: "ssc_train.h5.zip",
                urls: &["https://zenkelab.org/datasets/ssc_train.h5.zip", "https://compneuro.net/datasets/ssc_train.h5.zip"],
                sum: Some(Md5("d102be95e7144fcc0553d1f45ba94170")),
                unpacked: &["ssc_train.h5", "ssc_train.h5.gz"],
                ..FILE
            },
            Item {
                name: "ssc_valid.h5.zip",
                urls: &["https://zenkelab.org/datasets/ssc_valid.h5.zip", "https://compneuro.net/datasets/ssc_valid.h5.zip"],
                sum: Some(Md5("b4eee3516a4a90dd0c71a6ac23a8ae43")),
                unpacked: &["ssc_valid.h5", "ssc_valid.h5.gz"],
                ..FILE
            },
            Item {
                name: "ssc_test.h5.zip",
                urls: &["https://zenkelab.org/datasets/ssc_test.h5.zip", "https://compneuro.net/datasets/ssc_test.h5.zip"],
                sum: Some(Md5("a35ff1e9cffdd02a20eb850c17c37748")),
                unpacked: &["ssc_test.h5", "ssc_test.h5.gz"],
                ..FILE
            },
        ],
        unpack: "unzip -q {file} -d {dir}",
        ..SET
    },
    Set {
        id: "fsdd",
        about: "Free Spoken Digit Dataset 1.0.9: 2,500 recordings of five speakers, 8 kHz",
        licence: "CC BY-SA 4.0; Jackson and others",
        home: "https://github.com/Jakobovski/free-spoken-digit-dataset",
        folder: "fsdd",
        // GitHub makes such archives anew on request: the bytes may change one day, the recordings not.
        source: "tensorflow_datasets/datasets/spoken_digit/checksums.tsv",
        files: &[Item {
            name: "free-spoken-digit-dataset-1.0.9.tar.gz",
            urls: &["https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz"],
            bytes: Some(11_975_353),
            sum: Some(Sha256("8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0")),
            unpacked: &["recordings"],
            ..FILE
        }],
        unpack: "tar -xzf {file} -C {dir} --strip-components=1",
        ..SET
    },
    Set {
        id: "cifar-10",
        about: "60,000 colour pictures of ten classes, 32 × 32, binary version",
        licence: "none stated (unverified); Krizhevsky 2009 asks to be cited",
        home: "https://www.cs.toronto.edu/~kriz/cifar.html",
        folder: "cifar-10",
        source: "tensorflow_datasets/url_checksums/cifar10.txt",
        files: &[Item {
            name: "cifar-10-binary.tar.gz",
            urls: &["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"],
            bytes: Some(170_052_171),
            sum: Some(Sha256("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")),
            unpacked: &["data_batch_1.bin"],
            ..FILE
        }],
        unpack: "tar -xzf {file} -C {dir} --strip-components=1",
        ..SET
    },
    Set {
        id: "wikitext-2",
        about: "two million words of Wikipedia, tokenised",
        licence: "CC BY-SA 3.0 (unverified); Merity, Xiong, Bradbury, Socher 2016; Wikipedia",
        home: "https://arxiv.org/abs/1609.07843",
        folder: "wikitext-2",
        source: "torchtext/datasets/wikitext2.py",
        files: &[Item {
            name: "wikitext-2-v1.zip",
            // The first publisher's address answers 403 since 2024; the first author keeps the file.
            urls: &[
                "https://wikitext.smerity.com/wikitext-2-v1.zip",
                "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-2-v1.zip",
            ],
            sum: Some(Md5("542ccefacc6c27f945fb54453812b3cd")),
            unpacked: &["wiki.train.tokens"],
            ..FILE
        }],
        unpack: "unzip -qj {file} -d {dir}",
        ..SET
    },
    Set {
        id: "tinyshakespeare",
        about: "1.1 million characters of Shakespeare",
        licence: "public domain text; collected by Karpathy",
        home: "https://github.com/karpathy/char-rnn",
        folder: "tinyshakespeare",
        source: "tensorflow_datasets/datasets/tiny_shakespeare/checksums.tsv",
        files: &[Item {
            name: "input.txt",
            urls: &["https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"],
            bytes: Some(1_115_394),
            sum: Some(Sha256("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed")),
            ..FILE
        }],
        ..SET
    },
    Set {
        id: "beijing-air",
        about: "Beijing multi-site air quality: hourly readings of twelve stations, 2013 to 2017",
        licence: "CC BY 4.0 (unverified); Chen 2017, doi:10.24432/C5RK5G",
        home: "https://archive.ics.uci.edu/dataset/501/beijing+multi+site+air+quality+data",
        folder: "beijing-air",
        source: "loaders and published analyses of UCI 501 agree on it; the publisher gives none",
        files: &[Item {
            name: "beijing+multi+site+air+quality+data.zip",
            urls: &["https://archive.ics.uci.edu/static/public/501/beijing+multi+site+air+quality+data.zip"],
            bytes: Some(8_192_212),
            sum: Some(Sha256("b04da438b2f331ac0ffd45aebdfec0d20d2367feb5f6948c4b1f7ce1191e33c4")),
            unpacked: &["PRSA_Data_Huairou_20130301-20170228.csv", "PRSA_Data_Huairou_20130301-20170228.csv.gz"],
            ..FILE
        }],
        unpack: "unzip -q {file} -d {dir} && unzip -qj {dir}/PRSA2017_Data_20130301-20170228.zip -d {dir}",
        ..SET
    },
    Set {
        id: "dvs-gesture",
        about: "DVS128 Gesture: eleven hand gestures of 29 people before an event camera, 128 × 128",
        licence: "CC BY 4.0; Amir and others 2017",
        home: "https://research.ibm.com/interactive/dvsgesture",
        folder: "dvs-gesture",
        by_hand: "the publisher's store serves browsers only: download DvsGesture.tar.gz and gesture_mapping.csv from \
                  https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8/folder/50167556794",
        source: "spikingjelly/datasets/dvs128_gesture.py",
        files: &[
            Item {
                name: "DvsGesture.tar.gz",
                sum: Some(Md5("8a5c71fb11e24e5ca5b11866ca6c00a1")),
                unpacked: &["trials_to_train.txt"],
                ..FILE
            },
            Item { name: "gesture_mapping.csv", sum: Some(Md5("109b2ae64a0e1f3ef535b18ad7367fd1")), ..FILE },
        ],
        unpack: "tar -xzf {file} -C {dir} --strip-components=1",
    },
    Set {
        id: "ti46",
        about: "TI 46-Word: spoken digits, words and letters of 16 speakers",
        licence: "for sale, LDC user agreement (LDC93S9)",
        home: "https://catalog.ldc.upenn.edu/LDC93S9",
        folder: "ti46",
        by_hand: "it is licensed, not given away: order LDC93S9 from the Linguistic Data Consortium; `fsdd` is the free stand-in",
        ..SET
    },
    Set {
        id: "tidigits",
        about: "TIDIGITS: digit sequences of 326 speakers (also the source of N-TIDIGITS)",
        licence: "for sale, LDC user agreement (LDC93S10)",
        home: "https://catalog.ldc.upenn.edu/LDC93S10",
        folder: "tidigits",
        by_hand: "it is licensed, not given away: order LDC93S10 from the Linguistic Data Consortium; `fsdd` is the free stand-in",
        ..SET
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_complete() {
        for set in SETS {
            assert_eq!(SETS.iter().filter(|other| other.id == set.id || other.folder == set.folder).count(), 1, "{}", set.id);
            assert!(!set.licence.is_empty() && set.home.starts_with("http") && !set.about.is_empty(), "{}", set.id);
            assert_eq!(set.source.is_empty(), set.files.is_empty(), "{}: sums need their source", set.id);
            assert!(!set.by_hand.is_empty() || !set.files.is_empty(), "{}", set.id);
            for item in set.files {
                assert_ne!(set.by_hand.is_empty(), item.urls.is_empty(), "{}", item.name);
                assert!(item.inside.is_none() || item.name.ends_with(".gz"), "{}", item.name);
                let archive = item.name.ends_with(".zip") || item.name.ends_with(".tar.gz");
                assert_eq!(archive, !item.unpacked.is_empty(), "{}", item.name);
                assert!(!archive || set.unpack.contains("{file}"), "{}", set.id);
                for sum in item.sum.iter().chain(item.inside.iter().map(|(_, sum)| sum)) {
                    let digits = if matches!(sum, Md5(_)) { 32 } else { 64 };
                    let good = sum.hex().len() == digits && sum.hex().bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                    assert!(good, "{}: {}", item.name, sum.hex());
                }
            }
        }
    }
}

fn main() {
    let quick = std::env::args().nth(1).is_some();
    let r = snn_benches::train_step(quick, &mut |l| eprintln!("{l}"));
    for f in r.summary { println!("{:8.3} {} [{}]", f.value, f.what, f.wanted); }
}

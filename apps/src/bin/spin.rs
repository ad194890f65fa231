//! A bare loop without a single call: only a skip gets it out of the round.
fn main() {
    println!("spinning");
    loop {
        std::hint::spin_loop();
    }
}

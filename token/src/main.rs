//! `privyseal-token`: the process that a PKCS#11 module is loaded into. `privyseald` starts it; people do not.

use std::process::ExitCode;

fn main() -> ExitCode {
    privyseal_token::worker::main()
}

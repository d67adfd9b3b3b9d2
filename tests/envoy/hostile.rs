//! x
pub fn trial() -> libtest_mimic::Trial {
    libtest_mimic::Trial::test("hostile", || Ok(()))
}

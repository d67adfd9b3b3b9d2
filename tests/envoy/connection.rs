//! Requests that share a connection do not share a decision.

use libtest_mimic::Trial;

use crate::client::{self, Http2, Protocol};
use crate::rows::{Table, compare};
use crate::table;

const TWO_ORIGINS: &str = "
- policy: { allowOrigins: [https://a.example.com, https://b.example.com], allowCredentials: true }
  cases:
    - case: a
      send: { origin: https://a.example.com }
      get: { status: 200, from: upstream, acao: https://a.example.com, acac: true, vary: Origin }
    - case: b
      send: { origin: https://b.example.com }
      get: { status: 200, from: upstream, acao: https://b.example.com, acac: true, vary: Origin }
    - case: a stranger
      send: { origin: https://c.example.com }
      get: { status: 200, from: upstream, vary: Origin }
";

pub fn trial() -> Trial {
    Trial::test("requests on one connection get their own answers", || {
        let groups = table::parse(TWO_ORIGINS);
        let table = Table::start(&groups, 1)?;
        let cases = &groups[0].cases;
        let port = table.port(0, &cases[0]);
        let responses = client::run(async {
            let connection = Http2::to(port).await?;
            let mut responses = Vec::new();
            for _ in 0..20 {
                let send = |index: usize| {
                    let request =
                        client::request(&cases[index].send, &cases[index].name, Protocol::Http2);
                    async { connection.send(request?).await }
                };
                let (a, b, c) = tokio::try_join!(send(0), send(1), send(2))?;
                responses.extend([a, b, c]);
            }
            Ok(responses)
        })?;
        responses
            .iter()
            .zip(cases.iter().cycle())
            .try_for_each(|(response, case)| compare(case, response))
    })
}

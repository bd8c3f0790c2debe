#include "runtime/base/service_flags.h"

#include <string>

#include "runtime/base/build_info.h"

namespace cleave {

std::optional<int> ParseServiceFlags(CLI::App& app, int argc, char** argv) {
  app.set_version_flag("--version", std::string(BuildVersion()));
  app.footer(
      "Exit codes: 0 after SIGTERM or SIGINT, 1 when it could not start, 2 for wrong flags.\n"
      "Flags go before the environment variables named in brackets, those before the defaults.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

}  // namespace cleave

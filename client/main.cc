// cleave: the command line of a Cleave cluster.
#include <CLI/CLI.hpp>

#include <functional>
#include <map>
#include <string>

#include "client/commands.h"
#include "runtime/base/build_info.h"

int main(int argc, char** argv) {
  CLI::App app(
      "cleave: ask a model that is served by a Cleave cluster, look at the cluster, run one, "
      "measure.");
  app.set_version_flag("--version", std::string(cleave::BuildVersion()));
  app.require_subcommand(1);
  const std::map<std::string, std::function<int()>> commands = {
      {"ask", cleave::DeclareAsk(app)},
      {"status", cleave::DeclareStatus(app)},
      {"local", cleave::DeclareLocal(app)},
      {"bench", cleave::DeclareBench(app)},
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? cleave::kExitOk : cleave::kExitUsage;
  }
  return commands.at(app.get_subcommands().front()->get_name())();
}

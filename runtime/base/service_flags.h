// What the command lines of the three services have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>

namespace cleave {

// Adds --version and what --help says at its end, and parses. The exit code, when the program ends
// here: 0 after --help or --version, 2 for wrong flags.
std::optional<int> ParseServiceFlags(CLI::App& app, int argc, char** argv);

}  // namespace cleave

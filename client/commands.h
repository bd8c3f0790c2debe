// The subcommands of `cleave`. Each is declared on the command line's parser and, when it was
// chosen, run.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>

namespace cleave {

// Exit codes of every subcommand.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // the request, the gateway or a child process
inline constexpr int kExitUsage = 2;   // the flags, or a file that they name

// Declares the subcommand on `app` and returns what runs it and gives the exit code.
std::function<int()> DeclareAsk(CLI::App& app);
std::function<int()> DeclareStatus(CLI::App& app);
std::function<int()> DeclareLocal(CLI::App& app);
std::function<int()> DeclareBench(CLI::App& app);

// Where `cleave local` puts the gateway, and where the others look for it.
inline constexpr int kGatewayPort = 50051;
inline constexpr char kGatewayDefault[] = "127.0.0.1:50051";

}  // namespace cleave

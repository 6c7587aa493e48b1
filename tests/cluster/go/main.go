// The foreign parts of the tests in one binary: a Kubernetes control plane, etcd, a worker node without a container
// runtime, callers of etcd, and the reader of CronJobs' schedules. The first argument names the part, the rest are its
// flags. Every part ends with its stdin, which whoever started it holds: so none outlives a test that is killed.
package main

import (
	"fmt"
	"io"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: cluster PART FLAGS; see main.go for the parts")
		os.Exit(2)
	}
	part, args := os.Args[1], os.Args[2:]
	os.Args = append([]string{part}, args...) // cobra and etcd read the process's own arguments
	switch part {
	case "etcd":
		go endWithStdin()
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		go endWithStdin()
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		go endWithStdin()
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kube-scheduler":
		go endWithStdin()
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "node":
		exitWith(part, runNode(args))
	case "puts":
		exitWith(part, runPuts(args))
	case "cron":
		exitWith(part, runCron())
	case "key":
		exitWith(part, printKey())
	default:
		fmt.Fprintln(os.Stderr, "cluster: no part", part)
		os.Exit(2)
	}
}

func endWithStdin() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func exitWith(part string, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, part+":", err)
		os.Exit(1)
	}
}

// printKey prints a new private key, with which service accounts' tokens are signed.
func printKey() error {
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(key)
	return err
}

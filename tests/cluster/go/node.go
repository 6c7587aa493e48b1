package main

// A worker node without a container runtime: it registers itself and takes every pod that is bound to it through its
// phases, with containers that are child processes (container.go) and whose output it serves (output.go).
//
// What an image is here: -images maps an image (exact, or a prefix ending in '*') to the argv that stands for its
// entrypoint. An image that is not in the map cannot be pulled (ImagePullBackOff). A container that gives its own
// `command` runs it as it is. Only the first container of a pod is run, and no init containers. Every pod has a
// loopback address of its own, which its processes may bind.
//
// The node ends with its stdin and takes its containers with it. One that is killed loses them too; started again, it
// treats them as a kubelet does after a reboot: failed, and begun anew where the restart policy says so.

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"time"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type node struct {
	name   string
	client kubernetes.Interface
	images map[string][]string
	logs   string
	port   int             // of the containers' output
	life   context.Context // ends with the node

	mu         sync.Mutex
	pods       map[types.UID]*ownPod
	addresses  int             // given out so far
	writing    map[string]bool // files of output whose container still runs
	containers sync.WaitGroup
}

// ownPod is a pod that this node has seen and that still exists.
type ownPod struct {
	stop  context.CancelFunc
	ended bool // its containers have, for good
}

func runNode(args []string) error {
	flags := flag.NewFlagSet("node", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	name := flags.String("name", "node-0", "node name")
	images := flags.String("images", "", "JSON file: image -> argv of its entrypoint")
	logs := flags.String("logs", "", "directory for the containers' output")
	flags.Parse(args)

	client, err := connectToAPI(*kubeconfig)
	if err != nil {
		return err
	}
	life, end := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end()
	}()
	n := &node{name: *name, client: client, images: map[string][]string{}, logs: *logs, life: life,
		pods: map[types.UID]*ownPod{}, writing: map[string]bool{}}
	if err := n.readImages(*images); err != nil {
		return err
	}
	if err := n.serveOutput(); err != nil {
		return err
	}
	if err := n.register(); err != nil {
		return err
	}
	go n.heartbeat()
	n.followPods()
	n.containers.Wait()
	return nil
}

func connectToAPI(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 1000, 2000
	return kubernetes.NewForConfig(config)
}

func (n *node) readImages(file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &n.images)
}

// register makes the node's object anew, with room for everything.
func (n *node) register() error {
	nodes := n.client.CoreV1().Nodes()
	if err := nodes.Delete(n.life, n.name, meta.DeleteOptions{}); err != nil && !errors.IsNotFound(err) {
		return err
	}
	labels := map[string]string{"kubernetes.io/hostname": n.name}
	if _, err := nodes.Create(n.life, &core.Node{ObjectMeta: meta.ObjectMeta{Name: n.name, Labels: labels}}, meta.CreateOptions{}); err != nil {
		return err
	}
	room := core.ResourceList{
		core.ResourceCPU: resource.MustParse("1000"), core.ResourceMemory: resource.MustParse("4Ti"),
		core.ResourcePods: resource.MustParse("20000"), core.ResourceEphemeralStorage: resource.MustParse("4Ti")}
	status := core.NodeStatus{Capacity: room, Allocatable: room,
		Addresses: []core.NodeAddress{{Type: core.NodeInternalIP, Address: "127.0.0.1"}},
		Conditions: []core.NodeCondition{{Type: core.NodeReady, Status: core.ConditionTrue, Reason: "Ready",
			LastHeartbeatTime: meta.Now(), LastTransitionTime: meta.Now()}}}
	status.DaemonEndpoints.KubeletEndpoint.Port = int32(n.port)
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	// A patch, not an update: the node controller may have touched the node meanwhile.
	_, err = nodes.Patch(n.life, n.name, types.MergePatchType, patch, meta.PatchOptions{}, "status")
	return err
}

// heartbeat renews the node's lease; what fails is tried again at the next beat.
func (n *node) heartbeat() {
	leases := n.client.CoordinationV1().Leases("kube-node-lease")
	seconds := int32(40)
	for ; n.life.Err() == nil; time.Sleep(10 * time.Second) {
		now := meta.NowMicro()
		lease, err := leases.Get(n.life, n.name, meta.GetOptions{})
		if errors.IsNotFound(err) {
			leases.Create(n.life, &coordination.Lease{ObjectMeta: meta.ObjectMeta{Name: n.name},
				Spec: coordination.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now}}, meta.CreateOptions{})
		} else if err == nil {
			lease.Spec.RenewTime = &now
			leases.Update(n.life, lease, meta.UpdateOptions{})
		}
	}
}

func (n *node) followPods() {
	bound := fields.OneTermEqualSelector("spec.nodeName", n.name)
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(n.client.CoreV1().RESTClient(), "pods", "", bound),
		ObjectType:    &core.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { n.seen(o.(*core.Pod)) },
			UpdateFunc: func(_, o any) { n.seen(o.(*core.Pod)) },
			DeleteFunc: n.gone,
		}})
	informer.Run(n.life.Done())
}

func (n *node) seen(pod *core.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	own, known := n.pods[pod.UID]
	deleted := pod.DeletionTimestamp != nil
	switch {
	case deleted && known && !own.ended:
		own.stop()
	case deleted:
		go n.remove(pod)
	case !known && (pod.Status.Phase == core.PodPending || pod.Status.Phase == core.PodRunning):
		ctx, stop := context.WithCancel(n.life)
		own = &ownPod{stop: stop}
		n.pods[pod.UID] = own
		mine := pod.DeepCopy()
		if mine.Status.PodIP == "" {
			mine.Status.PodIP = n.nextAddress()
		}
		n.containers.Go(func() { n.run(ctx, own, mine) })
	}
}

// nextAddress is a pod's: the second octet is the node's.
func (n *node) nextAddress() string {
	subnet, count := 1+crc32.ChecksumIEEE([]byte(n.name))%200, n.addresses
	n.addresses++
	return fmt.Sprintf("127.%d.%d.%d", subnet, count/250%250, count%250+1)
}

func (n *node) gone(object any) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	pod := object.(*core.Pod)
	if own, known := n.pods[pod.UID]; known {
		own.stop() // deleted by force
		delete(n.pods, pod.UID)
	}
}

// remove takes the last step of a deletion, which is the node's.
func (n *node) remove(pod *core.Pod) {
	now := meta.NewDeleteOptions(0)
	now.Preconditions = meta.NewUIDPreconditions(string(pod.UID))
	err := n.client.CoreV1().Pods(pod.Namespace).Delete(context.Background(), pod.Name, *now)
	if err != nil && !errors.IsNotFound(err) && !errors.IsConflict(err) {
		fmt.Fprintln(os.Stderr, "removing", pod.Name, err)
	}
}

// run takes a pod through its phases until its container has ended for good, or the pod or the node ends.
func (n *node) run(ctx context.Context, own *ownPod, pod *core.Pod) {
	n.runContainer(ctx, pod)
	if n.life.Err() != nil {
		return
	}
	n.mu.Lock()
	own.ended = true
	deleted := ctx.Err() != nil
	n.mu.Unlock()
	if deleted {
		n.remove(pod)
	}
}

func (n *node) runContainer(ctx context.Context, pod *core.Pod) {
	container := pod.Spec.Containers[0]
	argv := n.argv(container)
	for wait := time.Second; argv == nil; wait = min(2*wait, 30*time.Second) {
		n.report(pod, core.PodPending, core.ContainerState{Waiting: &core.ContainerStateWaiting{
			Reason: "ImagePullBackOff", Message: "no such image: " + container.Image}}, core.ContainerState{}, 0)
		if !pause(ctx, wait) {
			return
		}
	}
	restarts, last, lost := int32(0), core.ContainerState{}, pod.Status.Phase == core.PodRunning
	if lost && len(pod.Status.ContainerStatuses) > 0 {
		restarts = pod.Status.ContainerStatuses[0].RestartCount
	}
	for ; ; restarts++ {
		started, code := meta.Now(), 137
		if !lost {
			n.report(pod, core.PodRunning, core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: started}}, last, restarts)
			code = n.execute(ctx, pod, container, argv)
		}
		lost = false
		if n.life.Err() != nil {
			return // as if the power were cut: nobody is told
		}
		if ctx.Err() != nil || !restarted(pod.Spec.RestartPolicy, code) {
			n.report(pod, finalPhase(code), terminated(code, started), last, restarts)
			return
		}
		// While it waits, the container that ended is the latest: the count grows when the next one begins.
		last = terminated(code, started)
		n.report(pod, core.PodRunning, core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, last, restarts)
		if !pause(ctx, min(time.Second<<min(restarts, 4), 10*time.Second)) {
			return
		}
	}
}

// pause says whether the time has passed; false if the pod ended first.
func pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

func restarted(policy core.RestartPolicy, code int) bool {
	return policy == core.RestartPolicyAlways || policy == core.RestartPolicyOnFailure && code != 0
}

func finalPhase(code int) core.PodPhase {
	if code == 0 {
		return core.PodSucceeded
	}
	return core.PodFailed
}

func terminated(code int, started meta.Time) core.ContainerState {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	return core.ContainerState{Terminated: &core.ContainerStateTerminated{
		ExitCode: int32(code), Reason: reason, StartedAt: started, FinishedAt: meta.Now()}}
}

// report writes how the pod is; `last` is how its container ended before it was begun again.
func (n *node) report(pod *core.Pod, phase core.PodPhase, state, last core.ContainerState, restarts int32) {
	now := meta.Now()
	if pod.Status.StartTime == nil {
		pod.Status.StartTime = &now
	}
	isReady, ready := state.Running != nil, core.ConditionFalse
	if isReady {
		ready = core.ConditionTrue
	}
	condition := func(kind core.PodConditionType, status core.ConditionStatus) core.PodCondition {
		return core.PodCondition{Type: kind, Status: status, LastTransitionTime: now}
	}
	container := pod.Spec.Containers[0]
	// Strategic: conditions that others have set, such as why the pod was evicted, stay.
	patch, err := json.Marshal(map[string]any{"status": core.PodStatus{
		Phase: phase, StartTime: pod.Status.StartTime,
		PodIP: pod.Status.PodIP, PodIPs: []core.PodIP{{IP: pod.Status.PodIP}}, HostIP: "127.0.0.1",
		Conditions: []core.PodCondition{condition(core.PodReady, ready), condition(core.ContainersReady, ready),
			condition(core.PodInitialized, core.ConditionTrue), condition(core.PodScheduled, core.ConditionTrue)},
		ContainerStatuses: []core.ContainerStatus{{Name: container.Name, Image: container.Image, State: state,
			LastTerminationState: last, RestartCount: restarts, Ready: isReady}},
	}})
	for again := err == nil; again; {
		_, err = n.client.CoreV1().Pods(pod.Namespace).Patch(
			context.Background(), pod.Name, types.StrategicMergePatchType, patch, meta.PatchOptions{}, "status")
		// As a kubelet does: an API server that is away is told when it is back.
		again = err != nil && errors.ReasonForError(err) == meta.StatusReasonUnknown && pause(n.life, 200*time.Millisecond)
	}
	if err != nil && !errors.IsNotFound(err) {
		fmt.Fprintln(os.Stderr, "status of", pod.Name, err)
	}
}
